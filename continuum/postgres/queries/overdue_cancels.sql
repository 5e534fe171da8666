-- List runs whose time for clean-up is over, ancestors first. Locks: none. Index: continuum_runs_cancels.
select id, cancel_reason
from continuum_runs
where cancel_due_at <= now()
  and completed_at is null
order by depth, id
limit 1000
