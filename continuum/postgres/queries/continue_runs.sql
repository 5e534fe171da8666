-- Insert the successors of runs that have just ended as continued, leased as these were, and give them the signals. Locks: runs, locked before; signals. Index: primary keys, continuum_signals_delivery.
-- Signals lock their run first: none can come to a run while this has its lock, nor later, when it is continued.
with seeds as (
    select *
    from unnest(
        %(predecessors)b::uuid[], %(owners)b::text[], %(tokens)b::bigint[], %(ids)b::uuid[], %(keys)b::text[],
        %(workflows)b::text[], %(version_hashes)b::text[], %(args)b::bytea[]
    ) as seed(predecessor, owner, token, id, key, workflow, version_hash, args)
),
inserted as (
    insert into continuum_runs (
        id, key, workflow, version_hash, state, namespace, attributes, args, parent_run_id, parent_command, depth,
        end_awaited, correlation_id, continued_from_run_id, due_at, lease_owner, lease_token, started_at,
        cancel_requested_at, cancel_cleanup_s, cancel_due_at, cancel_reason, cancel_heard
    )
    select
        seed.id, seed.key, seed.workflow, seed.version_hash, 'running', old.namespace, old.attributes, seed.args,
        old.parent_run_id, old.parent_command, old.depth, old.end_awaited, old.correlation_id, old.id, now(),
        seed.owner, seed.token, now(),
        old.cancel_requested_at, old.cancel_cleanup_s, old.cancel_due_at, old.cancel_reason, old.cancel_heard
    from seeds as seed
    join continuum_runs as old on old.id = seed.predecessor
),
continued as (
    update continuum_runs as old
    set continued_to_run_id = seed.id,
        end_awaited = false
    from seeds as seed
    where old.id = seed.predecessor
)
update continuum_signals as mail
set run_id = seed.id
from seeds as seed
where mail.run_id = any(array[seed.predecessor])
