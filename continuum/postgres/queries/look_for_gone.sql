-- Say which live owners of other lives of nodes seem to have no session left, and how many others there are. Locks: advisory locks of owners, tried and let go. Index: primary keys.
-- Who can take the lock that an owner's sessions share knows that none is left. What is tried changes from call to call.
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
)
select
    array(
        select owner
        from tried
        where pg_try_advisory_xact_lock(hashtextextended(current_schema() || '/' || owner, 0))
    ),
    (select count(*) from others)
