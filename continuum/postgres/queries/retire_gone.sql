-- Retire those of these owners that have no session left, and return them. Locks: advisory locks of owners, tried; owners in order. Index: primary keys.
-- The advisory locks are kept to the end of the transaction: a session that comes back waits for it, and then finds its
-- row expired.
with gone as materialized (
    select owner
    from continuum_sessions
    where owner = any(%(owners)b::text[])
      and server = pg_postmaster_start_time()
      and pg_try_advisory_xact_lock(hashtextextended(current_schema() || '/' || owner, 0))
),
known as materialized (
    select owner
    from continuum_owners
    where owner = any(array(select owner from gone))
      and expires_at > now()
    order by owner
    for no key update
),
retired as (
    update continuum_owners as dead
    set expires_at = now()
    from known
    where dead.owner = known.owner
    returning dead.owner
)
select array(select owner from retired order by owner),
    case when exists (select 1 from retired) then pg_notify(current_schema() || '_due', 'left') end
