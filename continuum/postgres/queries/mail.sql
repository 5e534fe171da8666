-- Read what waits for the runs of these leases, those that still hold: a row for each lease, then one for each thing. Locks: none. Index: primary keys, continuum_signals_unread, continuum_runs_child_ends.
-- One statement, because it is read between a signal and its answer, and each costs more to send than to execute. What a
-- column means depends on the kind of the row: see mails_of in mail.py.
-- Of signals, outcomes and ends of children no more than bytes_max is read; "flag" of a signal or child, and the state
-- "left" of a task, say that this was reached. Lengths are known without a value being read.
-- "is true" hides from the planner that continuum_timers_near could find the timers, among all that are due anywhere.
with held as materialized (
    select
        run.id, run.lease_token, lease.after, run.cancel_due_at, run.cancel_heard, run.cancel_requested_at,
        run.cancel_cleanup_s, run.cancel_reason
    from unnest(%(runs)b::uuid[], %(tokens)b::bigint[], %(after)b::bigint[]) as lease(id, token, after)
    join continuum_runs as run on run.id = lease.id
    where run.lease_token = lease.token
      and run.state in ('running', 'suspended')
)
select
    'lease' as kind,
    id as run_id,
    lease_token as number,
    0::bigint as attempt,
    null::uuid as child,
    cancel_reason as word,
    cancel_due_at is not null and not cancel_heard as flag,
    false as late,
    null::bytea as payload,
    null::bytea as details,
    extract(epoch from cancel_requested_at)::float8 as moment,
    cancel_cleanup_s as span
from held
union all
select 'signal', run_id, id, 0, null, name, bytes_upto >= %(bytes_max)b::bigint, false, payload, null, null, null
from (
    select
        signal.*,
        sum(64 + octet_length(signal.payload)) over (order by signal.run_id, signal.id rows unbounded preceding) as bytes_upto
    from held
    cross join lateral (
        select run_id, id, name, payload
        from continuum_signals
        where run_id = held.id and not consumed and id > held.after
        order by run_id, id
    ) as signal
) as signal
where bytes_upto - 64 - octet_length(payload) < %(bytes_max)b::bigint
union all
select
    'task',
    run_id,
    seq,
    attempt,
    null,
    case when state <> 'done' or bytes_before < %(bytes_max)b::bigint then state else 'left' end,
    ok,
    timed_out,
    case when bytes_before < %(bytes_max)b::bigint then outcome end,
    heartbeat,
    null,
    null
from (
    select
        task.*,
        coalesce(sum(octet_length(outcome)) over (order by run_id, seq rows unbounded preceding), 0)
            - coalesce(octet_length(outcome), 0) as bytes_before
    from continuum_activity_tasks as task
    where run_id = any(array(select id from held))
) as task
union all
select 'timer', run_id, seq, 0, null, null, false, false, null, null, null, null
from held
cross join lateral (
    select run_id, seq from continuum_timers where run_id = held.id and (fires_at <= now()) is true order by run_id, seq
) as timer
union all
select
    'child',
    parent_run_id,
    parent_command,
    0,
    id,
    state,
    bytes_upto >= %(bytes_max)b::bigint,
    false,
    outcome,
    null,
    extract(epoch from completed_at)::float8,
    null
from (
    select
        child.*,
        sum(64 + coalesce(octet_length(outcome), 0))
            over (order by parent_run_id, completed_at, id rows unbounded preceding) as bytes_upto
    from (
        select
            parent_run_id,
            parent_command,
            id,
            state,
            completed_at,
            case state when 'completed' then result when 'failed' then error end as outcome
        from continuum_runs
        where parent_run_id = any(array(select id from held))
          and end_awaited
          and completed_at is not null
    ) as child
) as child
where bytes_upto - 64 - coalesce(octet_length(outcome), 0) < %(bytes_max)b::bigint
