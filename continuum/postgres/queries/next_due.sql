-- Say when the next run and the next task of these queues can be claimed, in seconds. Locks: none. Index: continuum_runs_due, continuum_runs_leased, continuum_activity_tasks_queued.
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
            from continuum_owners as dead
            where dead.expires_at <= now()
              and exists (select 1 from continuum_runs as run where run.lease_owner = dead.owner)
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
    )
