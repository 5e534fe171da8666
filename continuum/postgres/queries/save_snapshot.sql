-- Keep a snapshot of a run whose lease holds, instead of an older one. Locks: the run, then its snapshot's row. Index: primary keys.
-- The lock is one that the end of the run waits for: what removes a run's rows would not see a snapshot that is not
-- committed yet, and nobody would remove it later. Committed asynchronously, so that nobody waits for the disk meanwhile.
with held as (
    select id
    from continuum_runs
    where id = %(run)b::uuid
      and lease_token = %(token)b::bigint
      and state in ('running', 'suspended')
    for no key update
)
insert into continuum_snapshots (run_id, upto_seq, format, version_hash, data)
select id, %(upto_seq)b::bigint, %(format)b::smallint, %(version_hash)b::text, %(data)b::bytea
from held
on conflict (run_id) do update
set upto_seq = excluded.upto_seq,
    format = excluded.format,
    version_hash = excluded.version_hash,
    data = excluded.data,
    created_at = now()
returning set_config('synchronous_commit', 'off', true)
