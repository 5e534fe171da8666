-- Renew an owner that has not expired, and say the largest token of its leases; nothing is returned for any other. Locks: the owner's row. Index: primary key, continuum_runs_leased.
update continuum_owners
set expires_at = now() + %(ttl_s)b::float8 * interval '1 second'
where owner = %(owner)b::text
  and expires_at > now()
returning
    extract(epoch from now())::float8,
    coalesce((select max(run.lease_token) from continuum_runs as run where run.lease_owner = %(owner)b::text), 0)
