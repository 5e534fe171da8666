-- Say how long ago runs were inserted, in seconds, by the database's clock. Locks: none. Index: primary key.
select run.id, extract(epoch from clock_timestamp() - run.created_at)::float8
from unnest(%(runs)b::uuid[]) as asked(id)
join continuum_runs as run on run.id = asked.id
