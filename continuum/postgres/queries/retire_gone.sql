-- Retire live owners of other lives of nodes whose sessions are gone; return those, and how many others live. Locks: advisory locks of owners, tried; owners in order. Index: primary keys.
-- Who takes the lock that an owner's sessions share knows that none is left. It is kept to the end of the transaction:
-- a session that comes back waits for it, and then finds its row expired. What is tried changes from call to call.
with others as materialized (
    select owner.owner, session.server
    from continuum_owners as owner
    left join continuum_sessions as session on session.owner = owner.owner
    where owner.expires_at > now()
      and split_part(split_part(owner.owner, '/', 4), '-', 1) <> %(boot)b::text
),
tried as materialized (
    select owner
    from others
    where server = pg_postmaster_start_time()
    order by random()
    limit %(limit)b::bigint
),
gone as materialized (
    select owner
    from tried
    where pg_try_advisory_xact_lock(hashtextextended(current_schema() || '/' || owner, 0))
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
select
    array(select owner from retired order by owner),
    (select count(*) from others) - (select count(*) from retired),
    case when exists (select 1 from retired) then pg_notify(current_schema() || '_wake', 'due') end
