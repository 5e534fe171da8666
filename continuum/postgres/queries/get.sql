-- Read one run. Locks: none. Index: primary key.
select
    id,
    key,
    workflow,
    version_hash,
    state,
    namespace,
    attributes,
    args,
    result,
    error,
    parent_run_id,
    correlation_id,
    continued_from_run_id,
    continued_to_run_id,
    extract(epoch from created_at)::float8,
    extract(epoch from started_at)::float8,
    extract(epoch from completed_at)::float8,
    lease_owner,
    attention,
    depth,
    extract(epoch from begun_at)::float8
from continuum_runs
where id = %(run)b::uuid
