-- Retire those of the owners who were asked that have not renewed their rows since; return them. Locks: owners in order. Index: primary key.
with known as materialized (
    select owner.owner
    from unnest(%(owners)b::text[], %(expires_us)b::bigint[]) as asked(owner, expires_us)
    join continuum_owners as owner on owner.owner = asked.owner
    where owner.expires_at > now()
      and (extract(epoch from owner.expires_at) * 1000000)::bigint = asked.expires_us
    order by owner.owner
    for no key update of owner
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
