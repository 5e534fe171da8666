-- Say which of these leases still hold. Locks: none. Index: primary key.
select run.id, run.lease_token
from unnest(%(runs)b::uuid[], %(tokens)b::bigint[]) as lease(id, token)
join continuum_runs as run on run.id = lease.id
where run.lease_token = lease.token
  and run.state in ('running', 'suspended')
