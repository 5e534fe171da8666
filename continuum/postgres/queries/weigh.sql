-- Say how many bytes a load of these leases would read: arguments, and events with the snapshot before them. Locks: none. Index: primary keys.
-- Lengths stand in the rows; the values are not read. What has a million events is heavy in any case.
select
    run.id,
    run.lease_token,
    octet_length(run.args)::bigint,
    (coalesce(snapshot.bytes, 0) + coalesce(journal.bytes, 0))::bigint
from unnest(%(runs)b::uuid[], %(tokens)b::bigint[]) as lease(id, token)
join continuum_runs as run on run.id = lease.id
left join lateral (
    select upto_seq, octet_length(data) as bytes
    from continuum_snapshots
    where run_id = run.id and %(snapshots)b::boolean
    limit 1
) as snapshot on true
cross join lateral (
    select sum(64 + octet_length(event.payload)) as bytes
    from (
        select payload
        from continuum_events
        where run_id = run.id and seq > coalesce(snapshot.upto_seq, 0)
        limit 1000000
    ) as event
) as journal
where run.lease_token = lease.token
  and run.state in ('running', 'suspended')
