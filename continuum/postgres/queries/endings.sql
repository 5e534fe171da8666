-- Say where these runs stand, and whether they were continued. Locks: none. Index: primary key.
select id, state, result, error, continued_to_run_id is not null
from continuum_runs
where id = any(%(runs)b::uuid[])
