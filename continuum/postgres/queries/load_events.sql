-- Read the journals of runs, in order. Locks: none. Index: primary key of each partition.
select run_id, seq, kind, payload, extract(epoch from inserted_at)::float8
from continuum_events
where run_id = any(%(runs)b::uuid[])
order by run_id, seq
