-- Hold an owner's advisory lock, shared, until the session ends, and note it; nothing is returned behind a pooler. Locks: the owner's advisory lock, the session's row. Index: primary key.
-- A pooler hands out its own process ids, and its sessions are not the ones of its clients.
with held as materialized (
    select pg_advisory_lock_shared(hashtextextended(current_schema() || '/' || %(owner)b::text, 0))
    where pg_backend_pid() = %(pid)b::bigint
)
insert into continuum_sessions as session (owner, server)
select %(owner)b::text, pg_postmaster_start_time()
from held
on conflict (owner) do update
set server = excluded.server
returning true
