-- End those of these runs that live as cancelled; return them with their live owners. Locks: runs, locked before. Index: primary key.
with doomed as materialized (
    select id, lease_owner
    from continuum_runs
    where id = any(%(runs)b::uuid[])
      and state in ('running', 'suspended')
),
ended as (
    update continuum_runs as run
    set state = 'cancelled',
        error = %(error)b::bytea,
        completed_at = now(),
        due_at = null,
        previous_owner = coalesce(doomed.lease_owner, run.previous_owner),
        lease_owner = null,
        lease_token = null
    from doomed
    where run.id = doomed.id
)
select doomed.id, owner.owner
from doomed
left join continuum_owners as owner on owner.owner = doomed.lease_owner and owner.expires_at > now()
