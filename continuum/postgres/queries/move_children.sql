-- Give the children that still matter to the runs that continue their parents. Locks: children by depth and id, below their parents' locks. Index: continuum_runs_children.
-- They live, or left something living behind, or their end was not read. The journal of the new parent does not
-- know any of them, so nobody awaits their ends.
with recursive moves as (
    select * from unnest(%(predecessors)b::uuid[], %(ids)b::uuid[]) as move(predecessor, successor)
),
family as (
    select child.id as child_id, child.id, child.completed_at is null or child.end_awaited as matters
    from continuum_runs as child
    where child.parent_run_id = any(%(predecessors)b::uuid[])
    union all
    select family.child_id, below.id, below.completed_at is null
    from family
    join continuum_runs as below on below.parent_run_id = family.id
),
moving as materialized (
    select child.id, moves.successor
    from moves
    join continuum_runs as child on child.parent_run_id = moves.predecessor
    where child.parent_run_id = any(%(predecessors)b::uuid[])
      and (child.id in (select child_id from family where matters)) is true
    order by child.depth, child.id
    for no key update of child
)
update continuum_runs as child
set parent_run_id = moving.successor,
    end_awaited = false
from moving
where child.id = moving.id
