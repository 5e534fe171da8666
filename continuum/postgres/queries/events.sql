-- Read a run's journal, in order. Locks: none. Index: primary key of each partition.
select seq, kind, payload, extract(epoch from inserted_at)::float8
from continuum_events
where run_id = %(run)b::uuid
order by seq
