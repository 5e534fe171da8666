-- Keep the results of runs that are held, each under a name that is free. Locks: results in the order of their names, after the runs (lock_leases). Index: primary keys.
-- A name that another transaction is about to take is waited for: what stands there then is read by the next statement.
insert into continuum_activity_results (activity, key, payload, run_id, seq)
select made.activity, made.key, made.payload, made.run_id, made.seq
from unnest(
    %(runs)b::uuid[], %(tokens)b::bigint[], %(seqs)b::bigint[], %(activities)b::text[], %(keys)b::text[],
    %(payloads)b::bytea[]
) with ordinality as made(run_id, token, seq, activity, key, payload, position)
join continuum_runs as run on run.id = made.run_id
where run.lease_token = made.token
  and run.state in ('running', 'suspended')
order by made.activity, made.key, made.position
on conflict (activity, key) do nothing
