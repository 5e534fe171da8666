-- Declare owners dead, and let dispatchers look for their runs. Locks: owners in order. Index: primary key.
with known as materialized (
    select owner
    from continuum_owners
    where owner = any(%(owners)b::text[])
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
select pg_notify(current_schema() || '_due', 'left')
where exists (select 1 from retired)
