-- Read the journals of runs, in order, beginning after their snapshots. Locks: none. Index: primary key of each partition.
select event.run_id, event.seq, event.kind, event.payload, extract(epoch from event.inserted_at)::float8
from (select distinct id from unnest(%(runs)b::uuid[]) as asked(id)) as wanted
left join continuum_snapshots as snapshot on snapshot.run_id = wanted.id
cross join lateral (
    select run_id, seq, kind, payload, inserted_at
    from continuum_events
    where run_id = wanted.id and seq > coalesce(snapshot.upto_seq, 0)
) as event
order by event.run_id, event.seq
