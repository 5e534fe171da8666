-- Make due the parents of children that ended just now, or note that nobody awaits the end. Locks: runs, locked before. Index: primary key.
with ended as materialized (
    select id, parent_run_id
    from continuum_runs
    where id = any(%(runs)b::uuid[])
      and (parent_run_id is not null and end_awaited) is true
),
parents as materialized (
    select id, lease_owner
    from continuum_runs
    where id = any(array(select parent_run_id from ended))
      and state in ('running', 'suspended')
),
woken as (
    update continuum_runs as run
    set due_at = now()
    from parents
    where run.id = parents.id
      and run.lease_owner is null
      and (run.due_at is null or run.due_at > now())
),
unawaited as (
    update continuum_runs as child
    set end_awaited = false
    from ended
    where child.id = ended.id
      and (ended.parent_run_id in (select id from parents)) is not true
)
select parents.id, owner.owner
from parents
left join continuum_owners as owner on owner.owner = parents.lease_owner and owner.expires_at > now()
