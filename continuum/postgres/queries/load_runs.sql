-- Read the runs still held under these leases. Locks: none. Index: primary key.
select
    run.id,
    run.lease_token,
    run.workflow,
    run.version_hash,
    run.args,
    run.namespace,
    extract(epoch from coalesce(run.begun_at, run.created_at))::float8,
    run.correlation_id,
    run.parent_run_id,
    run.continued_from_run_id,
    run.previous_owner,
    run.depth
from unnest(%(runs)b::uuid[], %(tokens)b::bigint[]) as lease(id, token)
join continuum_runs as run on run.id = lease.id
where run.lease_token = lease.token
  and run.state in ('running', 'suspended')
