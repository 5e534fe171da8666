-- Follow a chain to its last run. Locks: none. Index: primary key.
with recursive chain as (
    select id, continued_to_run_id from continuum_runs where id = %(run)b::uuid
    union all
    select run.id, run.continued_to_run_id
    from chain
    join continuum_runs as run on run.id = chain.continued_to_run_id
)
select id from chain where continued_to_run_id is null
