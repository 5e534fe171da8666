-- Note for runs that live that they are to clean up and end, unless their time is over sooner; wake them. Locks: runs, locked before. Index: primary key.
with asked as materialized (
    select id, lease_owner, cancel_due_at
    from continuum_runs
    where id = any(%(runs)b::uuid[])
      and state in ('running', 'suspended')
),
note as (
    select now() + least(%(cleanup_s)b::float8, 2.5e11) * interval '1 second' as due_at
),
noted as (
    update continuum_runs as run
    set cancel_requested_at = case when sooner then now() else run.cancel_requested_at end,
        cancel_cleanup_s = case when sooner then %(cleanup_s)b::float8 else run.cancel_cleanup_s end,
        cancel_due_at = case when sooner then note.due_at else run.cancel_due_at end,
        cancel_reason = case when sooner then %(reason)b::text else run.cancel_reason end,
        cancel_heard = false
    from asked
    cross join note
    cross join lateral (select asked.cancel_due_at is null or note.due_at < asked.cancel_due_at as sooner) as compared
    where run.id = asked.id
      and (sooner or run.cancel_heard)
)
select asked.id, owner.owner
from asked
left join continuum_owners as owner on owner.owner = asked.lease_owner and owner.expires_at > now()
