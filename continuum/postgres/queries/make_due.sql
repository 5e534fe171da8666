-- Make runs without owner due. Locks: runs, locked before. Index: primary key.
update continuum_runs
set due_at = now()
where id = any(%(runs)b::uuid[])
  and state in ('running', 'suspended')
  and lease_owner is null
  and (due_at is null or due_at > now())
  and started_at is not null
