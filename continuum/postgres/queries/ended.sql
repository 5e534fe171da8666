-- Say which of these runs have ended. Locks: none. Index: primary key.
select id
from continuum_runs
where id = any(%(runs)b::uuid[])
  and state not in ('running', 'suspended')
