-- Renew an owner that has not expired; nothing is returned for any other. Locks: the owner's row. Index: primary key.
update continuum_owners
set expires_at = now() + %(ttl_s)b::float8 * interval '1 second'
where owner = %(owner)b::text
  and expires_at > now()
returning extract(epoch from now())::float8
