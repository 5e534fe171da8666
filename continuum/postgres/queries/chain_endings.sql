-- Say where the chains of these runs stand, which were continued, without outcomes of more than bytes_max. Locks: none. Index: primary key.
with recursive chain as (
    select asked.id as first_id, run.id, run.continued_to_run_id
    from unnest(%(runs)b::uuid[]) as asked(id)
    join continuum_runs as run on run.id = asked.id
    union
    select chain.first_id, run.id, run.continued_to_run_id
    from chain
    join continuum_runs as run on run.id = chain.continued_to_run_id
)
select
    chain.first_id,
    run.id,
    run.state,
    case when octet_length(run.result) <= %(bytes_max)b::bigint then run.result end,
    case when octet_length(run.error) <= %(bytes_max)b::bigint then run.error end,
    octet_length(coalesce(run.result, run.error)) > %(bytes_max)b::bigint
from chain
join continuum_runs as run on run.id = chain.id
where chain.continued_to_run_id is null
