-- Say where a run stands, as `endings` does of many. Locks: none. Index: primary key.
select id, state, result, error, continued_to_run_id is not null
from continuum_runs
where id = %(run)b::uuid
