-- Say where the chains of these runs stand, which were continued. Locks: none. Index: primary key.
with recursive chain as (
    select asked.id as first_id, run.id, run.continued_to_run_id
    from unnest(%(runs)b::uuid[]) as asked(id)
    join continuum_runs as run on run.id = asked.id
    union
    select chain.first_id, run.id, run.continued_to_run_id
    from chain
    join continuum_runs as run on run.id = chain.continued_to_run_id
)
select chain.first_id, run.id, run.state, run.result, run.error
from chain
join continuum_runs as run on run.id = chain.id
where chain.continued_to_run_id is null
