-- List runs that wait for a person, the first to be tried again first, with the number of all. Locks: none. Index: continuum_runs_attention.
select id, workflow, attention, extract(epoch from due_at - now())::float8, count(*) over ()
from continuum_runs
where attention is not null
  and completed_at is null
order by due_at, id
limit %(limit)b::bigint
