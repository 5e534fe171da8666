-- Remove what runs that have ended leave: unread signals, delivery ids, timers, tasks. Locks: signals, timers, tasks, below the runs' locks. Index: run_id of each.
-- A statement of its own, after the one that ended the runs: only a new snapshot sees a signal whose transaction
-- held the run's lock just before.
with ended as materialized (
    select id
    from continuum_runs
    where id = any(%(runs)b::uuid[])
      and state not in ('running', 'suspended')
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
