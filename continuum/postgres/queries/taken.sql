-- Say of which workflows these runs are, whose ids an insertion found taken. Locks: none. Index: primary key.
select id, workflow
from continuum_runs
where id = any(%(runs)b::uuid[])
