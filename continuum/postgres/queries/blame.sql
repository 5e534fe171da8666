-- Count deaths of engines for the runs whose code ran in them, and set these runs aside. Locks: runs by depth and id. Index: primary key.
-- A run that was claimed since is only counted. killed_owner makes a second telling of the same death harmless; the
-- count begins anew when the run has events since. The pauses are 0 s, then 1, 4, 16... and at most a minute.
with death as materialized (
    select distinct on (id) id, owner
    from unnest(%(runs)b::uuid[], %(owners)b::text[]) as told(id, owner)
    order by id, owner
),
locked as materialized (
    select
        run.id,
        death.owner,
        run.lease_owner is null or run.lease_owner = death.owner as is_free,
        case when run.last_seq > run.deaths_seq then 1 else run.engine_deaths + 1 end as deaths
    from death
    join continuum_runs as run on run.id = death.id
    where run.state in ('running', 'suspended')
      and death.owner in (run.lease_owner, run.previous_owner)
      and run.killed_owner is distinct from death.owner
    order by run.depth, run.id
    for no key update of run
)
update continuum_runs as run
set engine_deaths = locked.deaths,
    deaths_seq = run.last_seq,
    killed_owner = locked.owner,
    lease_owner = case when not is_free then run.lease_owner end,
    lease_token = case when not is_free then run.lease_token end,
    previous_owner = case when is_free then locked.owner else run.previous_owner end,
    due_at = case when is_free then coalesce(run.due_at, now()) else run.due_at end,
    state = case when is_free then 'suspended' else run.state end,
    parked_for = case when is_free then case when deaths < %(deaths_max)b::bigint then '!alone' else '!stopped' end
        else run.parked_for end,
    parked_until = case when is_free then 'infinity' else run.parked_until end,
    alone_at = case when is_free
        then now() + case when deaths <= 1 then 0 else least(4.0 ^ least(deaths - 2, 9), 60) end * interval '1 second'
        else run.alone_at end,
    attention = case
        when not is_free then run.attention
        else 'engine deaths: ' || deaths || ' of ' || %(deaths_max)b::bigint || '; '
            || replace(
                replace(
                    case when deaths < %(deaths_max)b::bigint then %(suspected)b::text else %(set_aside)b::text end,
                    '{run}', run.id::text
                ),
                '{owner}', locked.owner
            )
    end
from locked
where run.id = locked.id
