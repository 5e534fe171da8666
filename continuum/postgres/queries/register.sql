-- Insert or renew an owner; a new one is announced, so that others watch over it. Locks: the owner's row. Index: primary key.
insert into continuum_owners as known (owner, node, address, expires_at, loaded)
values (
    %(owner)b::text, %(node)b::text, %(address)b::text, now() + %(ttl_s)b::float8 * interval '1 second',
    %(loaded)b::text[]
)
on conflict (owner) do update
set node = excluded.node,
    address = excluded.address,
    expires_at = excluded.expires_at,
    loaded = excluded.loaded
returning
    extract(epoch from now())::float8,
    case when known.xmax = 0 then pg_notify(current_schema() || '_wake', 'owner') end
