-- Take due tasks for a live owner, oldest due first, as many as bytes_max has room for, and one in any case. Locks: tasks, those locked by others skipped. Index: continuum_activity_tasks_queued, primary key of runs.
with candidate as materialized (
    select
        task.run_id,
        task.seq,
        task.due_at,
        sum(task.bytes) over (order by task.due_at, task.run_id, task.seq) - task.bytes as bytes_before
    from unnest(%(queues)b::text[]) as served(queue)
    cross join lateral (
        select queued.run_id, queued.seq, queued.due_at, octet_length(queued.args) + coalesce(octet_length(queued.last_heartbeat), 0) as bytes
        from continuum_activity_tasks as queued
        where queued.queue = served.queue
          and queued.state = 'queued'
          and queued.due_at <= now()
        order by queued.due_at, queued.run_id, queued.seq
        limit %(limit)b::bigint
        for no key update skip locked
    ) as task
    where exists (select 1 from continuum_owners where owner = %(claimer)b::text and expires_at > now())
    order by task.due_at, task.run_id, task.seq
    limit %(limit)b::bigint
),
chosen as materialized (
    select run_id, seq, due_at from candidate where bytes_before < %(bytes_max)b::bigint
),
claimed as (
    update continuum_activity_tasks as task
    set state = 'running',
        claimed_by = %(claimer)b::text,
        worker = null
    from chosen
    where task.run_id = any(array[chosen.run_id])
      and task.seq = any(array[chosen.seq])
    returning
        task.run_id,
        task.seq,
        task.attempt,
        task.activity,
        task.args,
        task.queue,
        task.timeout_s,
        task.idempotency_key,
        task.heartbeat_timeout_s,
        task.last_heartbeat,
        task.due_at
)
select
    claimed.run_id,
    claimed.seq,
    claimed.attempt,
    claimed.activity,
    claimed.args,
    claimed.queue,
    claimed.timeout_s,
    claimed.idempotency_key,
    claimed.heartbeat_timeout_s,
    claimed.last_heartbeat,
    run.lease_owner
from claimed
left join continuum_runs as run on run.id = claimed.run_id
order by claimed.due_at, claimed.run_id, claimed.seq
