-- Lock the runs held under these leases, by depth and id, for the statement that follows. Locks: runs by depth and id. Index: primary key.
select run.id
from unnest(%(runs)b::uuid[], %(tokens)b::bigint[]) as lease(id, token)
join continuum_runs as run on run.id = lease.id
where run.lease_token = lease.token
order by run.depth, run.id
for no key update of run
