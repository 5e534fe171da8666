-- Write one step of each run of a batch, with timers, signals and tasks; say which runs are fenced off and left out whole. Locks: runs by depth and id, signals, timers, tasks. Index: primary keys.
-- See commit_events.sql. This one stamps runs with a version of their code besides, and locks first: its runs may be of
-- several generations. "forgotten": see forgotten_signals.sql.
-- "(mail.delivery_id is null) is true" hides from the planner that continuum_signals_delivery could find all of these.
with batch as (
    select *, state not in ('running', 'suspended') as ends
    from unnest(
        %(runs)b::uuid[], %(tokens)b::bigint[], %(bases)b::bigint[], %(lasts)b::bigint[], %(states)b::text[],
        %(results)b::bytea[], %(errors)b::bytea[], %(version_hashes)b::text[]
    ) as step(id, token, base_seq, last_seq, state, result, error, version_hash)
),
forgotten as materialized (
    select read.run_id
    from unnest(%(read_runs)b::uuid[], %(read_ids)b::bigint[]) as read(run_id, id)
    where not exists (
        select from continuum_signals as mail
        where mail.id = any(array[read.id]) and (mail.run_id = read.run_id and not mail.consumed) is true
    )
),
held as materialized (
    select batch.*
    from batch
    join continuum_runs as run on run.id = batch.id
    where run.lease_token = batch.token
      and run.last_seq = batch.base_seq
      and run.state in ('running', 'suspended')
      and (batch.id in (select run_id from forgotten)) is not true
    order by run.depth, run.id
    for no key update of run
),
live as (
    update continuum_runs as run
    set state = held.state,
        version_hash = coalesce(held.version_hash, run.version_hash),
        last_seq = held.last_seq,
        result = held.result,
        error = held.error,
        completed_at = case when held.ends then now() end,
        due_at = case when not held.ends then run.due_at end,
        previous_owner = case when held.ends then run.lease_owner else run.previous_owner end,
        lease_owner = case when not held.ends then run.lease_owner end,
        lease_token = case when not held.ends then run.lease_token end
    from held
    where run.id = held.id
    returning run.id
),
written as (
    insert into continuum_events (run_id, seq, kind, payload)
    select event.run_id, event.seq, event.kind, event.payload
    from unnest(
        %(event_runs)b::uuid[], %(event_seqs)b::bigint[], %(event_kinds)b::smallint[], %(event_payloads)b::bytea[]
    ) as event(run_id, seq, kind, payload)
    where (event.run_id in (select id from live)) is true
),
timers_cleared as (
    delete from continuum_timers
    where ctid = any(array(
        select timer.ctid
        from unnest(%(cleared_runs)b::uuid[], %(cleared_seqs)b::bigint[]) as cleared(run_id, seq)
        cross join lateral (
            select ctid, seq
            from continuum_timers
            where run_id = cleared.run_id and seq >= cleared.seq
            order by run_id, seq
            limit 1
        ) as timer
        where timer.seq = cleared.seq
          and (cleared.run_id in (select id from live)) is true
    ))
),
timers_set as (
    insert into continuum_timers (run_id, seq, fires_at)
    select
        started.run_id,
        started.seq,
        coalesce(
            timestamptz 'epoch' + started.until * interval '1 microsecond',
            now() + least(started.delay_s, 2.5e11) * interval '1 second'
        )
    from unnest(
        %(timer_runs)b::uuid[], %(timer_seqs)b::bigint[], %(timer_delays)b::float8[], %(timer_untils)b::bigint[]
    ) as started(run_id, seq, delay_s, until)
    where (started.run_id in (select id from live)) is true
    on conflict (run_id, seq) do update set fires_at = excluded.fires_at
),
signals_forgotten as (
    delete from continuum_signals as mail
    using unnest(%(read_runs)b::uuid[], %(read_ids)b::bigint[]) as read(run_id, id)
    where mail.id = any(array[read.id])
      and (mail.run_id = read.run_id and mail.delivery_id is null) is true
      and (read.run_id in (select id from live)) is true
),
signals_consumed as (
    update continuum_signals as mail
    set consumed = true, payload = ''
    from unnest(%(read_runs)b::uuid[], %(read_ids)b::bigint[]) as read(run_id, id)
    where mail.id = any(array[read.id])
      and (mail.run_id = read.run_id and mail.delivery_id is not null) is true
      and (read.run_id in (select id from live)) is true
),
tasks_cleared as (
    delete from continuum_activity_tasks as task
    using unnest(%(done_runs)b::uuid[], %(done_seqs)b::bigint[]) as done(run_id, seq)
    where task.run_id = any(array[done.run_id])
      and task.seq = any(array[done.seq])
      and (done.run_id in (select id from live)) is true
),
tasks_set as (
    insert into continuum_activity_tasks (
        run_id, seq, attempt, activity, args, queue, state, due_at, timeout_s, idempotency_key, heartbeat_timeout_s,
        last_heartbeat
    )
    select
        task.run_id,
        task.seq,
        task.attempt,
        task.activity,
        task.args,
        task.queue,
        'queued',
        now() + least(task.delay_s, 2.5e11) * interval '1 second',
        task.timeout_s,
        task.idempotency_key,
        task.heartbeat_timeout_s,
        task.last_heartbeat
    from unnest(
        %(task_runs)b::uuid[], %(task_seqs)b::bigint[], %(task_attempts)b::bigint[], %(task_activities)b::text[],
        %(task_args)b::bytea[], %(task_queues)b::text[], %(task_delays)b::float8[], %(task_timeouts)b::float8[],
        %(task_keys)b::text[], %(task_heartbeat_timeouts)b::float8[], %(task_last_heartbeats)b::bytea[]
    ) as task(
        run_id, seq, attempt, activity, args, queue, delay_s, timeout_s, idempotency_key, heartbeat_timeout_s,
        last_heartbeat
    )
    where (task.run_id in (select id from live)) is true
    on conflict (run_id, seq) do update
    set attempt = excluded.attempt,
        activity = excluded.activity,
        args = excluded.args,
        queue = excluded.queue,
        state = excluded.state,
        due_at = excluded.due_at,
        timeout_s = excluded.timeout_s,
        idempotency_key = excluded.idempotency_key,
        heartbeat_timeout_s = excluded.heartbeat_timeout_s,
        last_heartbeat = excluded.last_heartbeat,
        heartbeat = null,
        claimed_by = null,
        worker = null,
        ok = null,
        outcome = null,
        timed_out = false
    where continuum_activity_tasks.attempt < excluded.attempt
)
select batch.id
from unnest(%(runs)b::uuid[]) as batch(id)
where (batch.id in (select id from live)) is not true
