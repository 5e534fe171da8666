-- Read what waits for the runs of these leases, those that still hold: a row for each lease, then one for each thing. Locks: none. Index: primary keys, continuum_signals_unread, continuum_runs_child_ends.
-- One statement, because it is read between a signal and its answer, and each costs more to send than to execute. What a
-- column means depends on the kind of the row: see mails_of in mail.py.
-- "is true" hides from the planner that continuum_timers_near could find the timers, among all that are due anywhere.
with held as materialized (
    select run.id, run.lease_token, run.cancel_due_at, run.cancel_requested_at, run.cancel_cleanup_s, run.cancel_reason
    from unnest(%(runs)b::uuid[], %(tokens)b::bigint[]) as lease(id, token)
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
    cancel_due_at is not null as flag,
    false as late,
    null::bytea as payload,
    null::bytea as details,
    extract(epoch from cancel_requested_at)::float8 as moment,
    cancel_cleanup_s as span
from held
union all
select 'signal', run_id, id, 0, null, name, false, false, payload, null, null, null
from continuum_signals
where run_id = any(array(select id from held))
  and not consumed
union all
select 'task', run_id, seq, attempt, null, state, ok, timed_out, outcome, heartbeat, null, null
from continuum_activity_tasks
where run_id = any(array(select id from held))
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
    false,
    false,
    case state when 'completed' then result when 'failed' then error end,
    null,
    extract(epoch from completed_at)::float8,
    null
from continuum_runs
where parent_run_id = any(array(select id from held))
  and end_awaited
  and completed_at is not null
