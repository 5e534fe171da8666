-- Let a run that was set aside be resumed, as if no engine had died of it. Locks: the run. Index: primary key.
with run as materialized (
    select id, state, parked_for from continuum_runs where id = %(run)b::uuid for no key update
),
resumed as (
    update continuum_runs
    set engine_deaths = 0,
        deaths_seq = null,
        due_at = now(),
        alone_at = now(),
        parked_for = '!alone',
        attention = null
    from run
    where continuum_runs.id = run.id
      and run.parked_for in ('!alone', '!stopped')
      and run.state in ('running', 'suspended')
    returning continuum_runs.id
)
select
    run.state,
    resumed.id is not null,
    case when resumed.id is not null then pg_notify(current_schema() || '_due', 'alone') end
from run
left join resumed on resumed.id = run.id
