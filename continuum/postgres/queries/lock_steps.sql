-- Lock runs for what follows, those that end with their parents; say where they stand. Locks: runs and parents, by depth and id. Index: primary keys.
-- parent_held is false if the parent was continued meanwhile, so that another run than the locked one is the parent:
-- ask again. A parent that there is no row of counts as held.
with batch as (
    select * from unnest(%(runs)b::uuid[], %(ends)b::bool[]) as step(id, ends)
),
targets as (
    select id from batch
    union
    select run.parent_run_id
    from batch
    join continuum_runs as run on run.id = batch.id
    where batch.ends and (run.parent_run_id is not null) is true
),
locked as materialized (
    select
        run.id, run.state, run.lease_owner, run.lease_token, run.last_seq, run.parent_run_id, run.continued_to_run_id
    from targets
    join continuum_runs as run on run.id = targets.id
    order by run.depth, run.id
    for no key update of run
)
select
    locked.id,
    locked.state,
    locked.lease_owner,
    locked.lease_token,
    locked.last_seq,
    (locked.id in (select id from batch where ends)) is not true
    or locked.parent_run_id is null
    or (locked.parent_run_id in (select id from locked)) is true
    or (select parent.id from continuum_runs as parent where parent.id = locked.parent_run_id) is null,
    locked.continued_to_run_id is not null
from locked
where (locked.id in (select id from batch)) is true
