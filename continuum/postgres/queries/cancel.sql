-- End the last run of a chain as cancelled, if it lives; tell its owner and those who wait. Locks: the run. Index: primary key.
-- The third column is true if the chain grew meanwhile: ask again.
with recursive chain as (
    select id, continued_to_run_id from continuum_runs where id = %(run)b::uuid
    union all
    select run.id, run.continued_to_run_id
    from chain
    join continuum_runs as run on run.id = chain.continued_to_run_id
),
run as materialized (
    select id, state, lease_owner, continued_to_run_id
    from continuum_runs
    where id = (select id from chain where continued_to_run_id is null)
    for no key update
),
ended as (
    update continuum_runs
    set state = 'cancelled',
        error = %(error)b::bytea,
        completed_at = now(),
        due_at = null,
        previous_owner = coalesce(run.lease_owner, continuum_runs.previous_owner),
        lease_owner = null,
        lease_token = null
    from run
    where continuum_runs.id = run.id
      and run.state in ('running', 'suspended')
    returning continuum_runs.id
)
select
    run.state,
    ended.id is not null,
    run.continued_to_run_id is not null,
    run.id,
    case
        when ended.id is not null
        then pg_notify(current_schema() || '_done', 'done:' || replace(run.id::text, '-', ''))
    end,
    case
        when ended.id is not null and owner.owner is not null
        then pg_notify(
            current_schema() || '_wake', 'mail:' || replace(run.id::text, '-', '') || ':' || owner.owner
        )
    end
from run
left join ended on ended.id = run.id
left join continuum_owners as owner on owner.owner = run.lease_owner and owner.expires_at > now()
