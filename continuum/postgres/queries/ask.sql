-- Ask the live owners of one life of a node to renew their rows, and say which rows these are. Locks: none. Index: primary key.
with asked as materialized (
    select owner, (extract(epoch from expires_at) * 1000000)::bigint as expires_us
    from continuum_owners
    where node = %(node)b::text
      and split_part(split_part(owner, '/', 4), '-', 1) = %(boot)b::text
      and expires_at > now()
)
select owner, expires_us, pg_notify(current_schema() || '_wake', 'ask:' || owner)
from asked
order by owner
