-- Note for runs that live that they are to clean up and end, unless their time is over sooner; wake them. Locks: runs, locked before. Index: primary key.
with asked as materialized (
    select id, lease_owner
    from continuum_runs
    where id = any(%(runs)b::uuid[])
      and state in ('running', 'suspended')
),
note as (
    select now() + least(%(cleanup_s)b::float8, 2.5e11) * interval '1 second' as due_at
),
noted as (
    update continuum_runs as run
    set cancel_requested_at = now(),
        cancel_cleanup_s = %(cleanup_s)b::float8,
        cancel_due_at = note.due_at,
        cancel_reason = %(reason)b::text
    from asked, note
    where run.id = asked.id
      and (run.cancel_due_at is null or note.due_at < run.cancel_due_at)
)
select asked.id, owner.owner
from asked
left join continuum_owners as owner on owner.owner = asked.lease_owner and owner.expires_at > now()
