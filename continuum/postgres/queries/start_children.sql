-- Insert children, due; those that exist are left alone. Locks: none, their parents are locked. Index: primary key of runs and events.
-- A statement of its own after the commit: it sees the parents as they are under the lock, a cancel that was noted
-- just before too. A child gets that note. What the parent starts while it cleans up, so that its journal has the
-- cancel already, is meant to run: it hears nothing of it, and has the same time.
insert into continuum_runs (
    id, key, workflow, version_hash, state, namespace, attributes, args, parent_run_id, parent_command, depth,
    end_awaited, correlation_id, due_at, cancel_requested_at, cancel_cleanup_s, cancel_due_at, cancel_reason,
    cancel_heard
)
select
    child.id,
    child.key,
    child.workflow,
    child.version_hash,
    'running',
    parent.namespace,
    parent.attributes,
    child.args,
    parent.id,
    child.command,
    parent.depth + 1,
    true,
    child.correlation_id,
    now() + least(child.delay_s, 2.5e11) * interval '1 second',
    parent.cancel_requested_at,
    parent.cancel_cleanup_s,
    parent.cancel_due_at,
    parent.cancel_reason,
    note.heard
from unnest(
    %(ids)b::uuid[], %(keys)b::text[], %(workflows)b::text[], %(version_hashes)b::text[], %(args)b::bytea[],
    %(delays)b::float8[], %(parents)b::uuid[], %(commands)b::bigint[], %(correlations)b::uuid[]
) as child(id, key, workflow, version_hash, args, delay_s, parent_run_id, command, correlation_id)
join continuum_runs as parent on parent.id = child.parent_run_id
cross join lateral (
    select
        parent.cancel_due_at is not null
        and (
            parent.cancel_heard
            or (
                select true from continuum_events as event where event.run_id = parent.id and event.kind = 19 limit 1
            ) is not null
        ) as heard
) as note
order by child.id
on conflict (id) do nothing
