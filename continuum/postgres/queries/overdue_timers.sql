-- Read the timers of runs that are due. Locks: none. Index: primary key.
-- "is true" hides from the planner that continuum_timers_near could find them, among all that are due anywhere.
select timer.run_id, timer.seq
from (select distinct id from unnest(%(runs)b::uuid[]) as asked(id)) as wanted
cross join lateral (
    select run_id, seq from continuum_timers where run_id = wanted.id and (fires_at <= now()) is true order by run_id, seq
) as timer
order by timer.run_id, timer.seq
