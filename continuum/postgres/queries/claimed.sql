-- List the attempts that these claimers have. Locks: none. Index: continuum_activity_tasks_running.
select run_id, seq, attempt
from continuum_activity_tasks
where claimed_by = any(%(claimers)b::text[])
  and state = 'running'
