-- Keep a snapshot of a run whose lease holds, instead of an older one. Locks: the run's row, then its snapshot's. Index: primary keys.
with held as (
    select id
    from continuum_runs
    where id = %(run)b::uuid
      and lease_token = %(token)b::bigint
      and state in ('running', 'suspended')
    for key share
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
