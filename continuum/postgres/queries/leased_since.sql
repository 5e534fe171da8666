-- List the leases that an owner got after a token. Locks: none. Index: continuum_runs_leased.
select id, lease_token
from continuum_runs
where lease_owner = %(owner)b::text
  and lease_token > %(token)b::bigint
order by lease_token
