-- Remove what a run that has ended leaves, as `clear_ended` does for many. Locks: children that have ended, those locked by others skipped; signals, timers, tasks, snapshot, below the run's lock. Index: run_id of each, continuum_runs_child_ends.
-- Why it is a statement of its own, and why a child may be skipped, see there. Of one run all timers are in the order
-- of their primary key, by which the plan finds them: continuum_timers_near is not in that order.
with ended as materialized (
    select id
    from continuum_runs
    where id = %(run)b::uuid
      and state not in ('running', 'suspended')
),
free as materialized (
    select run.id
    from continuum_runs as run
    where run.parent_run_id = (select id from ended)
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
    delete from continuum_signals where run_id = (select id from ended)
),
timers as (
    delete from continuum_timers
    where ctid = any(array(
        select ctid from continuum_timers where run_id = (select id from ended) order by run_id, seq
    ))
),
snapshots as (
    delete from continuum_snapshots where run_id = (select id from ended)
)
delete from continuum_activity_tasks where run_id = (select id from ended)
