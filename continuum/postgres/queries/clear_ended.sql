-- Remove what runs that have ended leave: unread signals, delivery ids, timers, tasks, snapshots, the wait for their children's ends. Locks: children that have ended, those locked by others skipped; signals, timers, tasks, snapshots, below the runs' locks. Index: run_id of each, continuum_runs_child_ends.
-- A statement of its own, after the one that ended the runs: only a new snapshot sees a signal whose transaction
-- held the run's lock just before. Children are above other runs of the batch, whose locks are held already: waiting for
-- one could be a deadlock. One that is skipped stays marked, which costs an entry of the index that nobody reads.
with ended as materialized (
    select id
    from continuum_runs
    where id = any(%(runs)b::uuid[])
      and state not in ('running', 'suspended')
),
free as materialized (
    select run.id
    from continuum_runs as run
    where run.parent_run_id = any(array(select id from ended))
      and run.end_awaited
      and run.completed_at is not null
    for no key update of run skip locked
),
unawaited as (
    update continuum_runs as run
    set end_awaited = false
    from free
    where run.id = free.id
),
signals as (
    delete from continuum_signals where run_id = any(array(select id from ended))
),
timers as (
    delete from continuum_timers
    where ctid = any(array(
        select timer.ctid
        from ended
        cross join lateral (
            select ctid from continuum_timers where run_id = ended.id order by run_id, seq
        ) as timer
    ))
),
snapshots as (
    delete from continuum_snapshots where run_id = any(array(select id from ended))
)
delete from continuum_activity_tasks where run_id = any(array(select id from ended))
