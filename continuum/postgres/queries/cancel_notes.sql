-- Read the cancels that leave these runs time for clean-up. Locks: none. Index: primary key.
select id, extract(epoch from cancel_requested_at)::float8, cancel_cleanup_s, cancel_reason
from continuum_runs
where id = any(%(runs)b::uuid[])
  and cancel_due_at is not null
