-- Say which of these runs have not begun: nobody holds them, and no step of theirs was written; nor do they go on for others. Locks: none, they are locked. Index: primary key.
select id
from continuum_runs
where id = any(%(runs)b::uuid[])
  and state in ('running', 'suspended')
  and (lease_owner is null) is true
  and last_seq = 0
  and continued_from_run_id is null
