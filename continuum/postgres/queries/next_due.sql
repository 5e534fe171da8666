-- Say what there is to do: when the next run, task of these queues and suspect can be claimed and a cancel is overdue, in seconds, and whether tasks are lost. Locks: none. Index: continuum_runs_due, continuum_runs_leased, continuum_runs_parked, continuum_activity_tasks_queued, continuum_runs_cancels, continuum_activity_tasks_running.
-- A run that waits for code which one of the owners says to have may be one that this code could not take: wanted_s keeps
-- it from being tried at once, again and again.
with able as materialized (
    select loaded from continuum_owners where owner = any(%(owners)b::text[]) and expires_at > now()
),
dead as materialized (
    select owner from continuum_owners where expires_at <= now()
)
select
    least(
        (
            select extract(epoch from run.due_at - now())::float8
            from continuum_runs as run
            where run.lease_owner is null
              and run.due_at is not null
              and (run.parked_until is null or run.parked_until <= now())
            order by run.due_at, run.id
            limit 1
        ),
        (
            select 0::float8
            from dead
            where exists (select 1 from continuum_runs as run where run.lease_owner = dead.owner)
            limit 1
        ),
        (
            select %(wanted_s)b::float8
            from continuum_runs as run
            where run.parked_for = any(array(select unnest(loaded) from able))
              and run.parked_until > now()
              and run.state in ('running', 'suspended')
            limit 1
        )
    ),
    (
        select min(extract(epoch from task.due_at - now())::float8)
        from unnest(%(queues)b::text[]) as served(queue)
        cross join lateral (
            select queued.due_at
            from continuum_activity_tasks as queued
            where queued.queue = served.queue and queued.state = 'queued'
            order by queued.due_at, queued.run_id, queued.seq
            limit 1
        ) as task
    ),
    (
        select extract(epoch from min(
            case
                when exists (
                    select 1
                    from able
                    where run.workflow || '@' || coalesce(run.version_hash, '') = any(able.loaded)
                ) then run.alone_at
                else run.alone_at + interval '1 minute'
            end
        ) - now())::float8
        from continuum_runs as run
        where run.parked_for = '!alone'
          and run.lease_owner is null
          and run.state in ('running', 'suspended')
    ),
    (
        select extract(epoch from run.cancel_due_at - now())::float8
        from continuum_runs as run
        where run.cancel_due_at is not null
          and run.completed_at is null
        order by run.cancel_due_at
        limit 1
    ),
    exists (
        select 1
        from continuum_activity_tasks as task
        where task.claimed_by = any(array(select owner from dead))
          and task.state = 'running'
    )
