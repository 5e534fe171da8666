-- Lock the runs held under these leases, in id order, for the statement that follows. Locks: runs in id order. Index: primary key.
select run.id
from unnest(%(runs)b::uuid[], %(tokens)b::bigint[]) as lease(id, token)
join continuum_runs as run on run.id = lease.id
where run.lease_token = lease.token
order by run.id
for no key update of run
