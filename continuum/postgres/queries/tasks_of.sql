-- Read where the attempts of runs stand, and how they ended. Locks: none. Index: primary key.
select run_id, seq, attempt, state, ok, outcome, timed_out, coalesce(heartbeat, '')
from continuum_activity_tasks
where run_id = any(%(runs)b::uuid[])
order by run_id, seq
