-- Remove what runs that have ended leave: unread signals, delivery ids, timers, tasks, the wait for their children's ends. Locks: children that have ended, signals, timers, tasks, below the runs' locks. Index: run_id of each, continuum_runs_child_ends.
-- A statement of its own, after the one that ended the runs: only a new snapshot sees a signal whose transaction
-- held the run's lock just before.
with ended as materialized (
    select id
    from continuum_runs
    where id = any(%(runs)b::uuid[])
      and state not in ('running', 'suspended')
),
unawaited as (
    update continuum_runs
    set end_awaited = false
    where parent_run_id = any(array(select id from ended))
      and end_awaited
      and completed_at is not null
),
signals as (
    delete from continuum_signals where run_id = any(array(select id from ended))
),
timers as (
    delete from continuum_timers where run_id = any(array(select id from ended))
),
snapshots as (
    delete from continuum_snapshots where run_id = any(array(select id from ended))
)
delete from continuum_activity_tasks where run_id = any(array(select id from ended))
