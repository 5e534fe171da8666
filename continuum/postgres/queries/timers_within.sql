-- List the timers of live runs that are due within a horizon, soonest first. Locks: none. Index: continuum_timers_near.
select timer.run_id, timer.seq, extract(epoch from timer.fires_at - now())::float8
from continuum_timers as timer
join continuum_runs as run on run.id = timer.run_id
where timer.fires_at <= now() + least(%(horizon_s)b::float8, 2.5e11) * interval '1 second'
  and run.state in ('running', 'suspended')
order by timer.fires_at, timer.run_id, timer.seq
limit %(limit)b::bigint
