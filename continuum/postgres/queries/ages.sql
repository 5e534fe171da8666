-- Say how long ago runs were inserted, in seconds, by the database's clock. Locks: none. Index: primary key.
select run.id, extract(epoch from clock_timestamp() - run.created_at)::float8
from continuum_runs as run
where run.id = any(%(runs)b::uuid[])
