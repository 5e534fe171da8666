-- Let a run not await the ends of children that it cancels; return those that live. Locks: children by depth and id, below their parent's lock. Index: continuum_runs_children.
with chosen as materialized (
    select child.id, child.state
    from continuum_runs as child
    where child.parent_run_id = %(parent)b::uuid
      and child.parent_command = any(%(commands)b::bigint[])
      and child.end_awaited
    order by child.depth, child.id
    for no key update of child
),
disowned as (
    update continuum_runs as child
    set end_awaited = false
    from chosen
    where child.id = chosen.id
)
select id, state in ('running', 'suspended') from chosen
