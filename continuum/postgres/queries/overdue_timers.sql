-- Read the timers of runs that are due. Locks: none. Index: primary key.
-- "is true" hides from the planner that continuum_timers_near could find them, among all that are due anywhere.
select run_id, seq
from continuum_timers
where run_id = any(%(runs)b::uuid[])
  and (fires_at <= now()) is true
order by run_id, seq
