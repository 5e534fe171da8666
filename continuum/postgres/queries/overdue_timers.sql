-- Read the timers of runs that are due. Locks: none. Index: primary key.
select run_id, seq
from continuum_timers
where run_id = any(%(runs)b::uuid[])
  and fires_at <= now()
order by run_id, seq
