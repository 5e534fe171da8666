-- Give leases back; a run with mail its owner has not seen, or a due timer, is due at once. Locks: runs, locked before by lock_leases. Index: primary keys, continuum_signals_unread, continuum_activity_tasks_done, continuum_runs_child_ends.
-- A run that is given back for a reason keeps its pause, whatever wakes it meanwhile: parked_until says how long.
-- clock_timestamp(), not now(): a timer that came due while this transaction waited for the lock counts.
with given as (
    select
        release.id,
        release.token,
        release.attention,
        release.lacks_code,
        case
            when release.attention is null and (
                (
                    select true
                    from continuum_signals as mail
                    where mail.run_id = release.id and not mail.consumed and mail.id <> all(%(seen)b::bigint[])
                    limit 1
                )
              or (
                  select true
                  from continuum_activity_tasks as task
                  where task.run_id = release.id and task.state = 'done'
                  limit 1
              )
              or (
                  select true
                  from continuum_timers as timer
                  where timer.run_id = release.id and timer.fires_at <= clock_timestamp()
                  order by timer.run_id, timer.seq
                  limit 1
              )
              or (
                  select true
                  from continuum_runs as child
                  where child.parent_run_id = release.id
                    and child.end_awaited
                    and child.completed_at is not null
                    and child.id <> all(%(seen_children)b::uuid[])
                  limit 1
              )
              or (
                  select asked.cancel_due_at is not null
                      and not asked.cancel_heard
                      and (
                          select true from continuum_events as event where event.run_id = asked.id and event.kind = 19 limit 1
                      ) is null
                  from continuum_runs as asked
                  where asked.id = release.id
              )
            ) then now()
            when release.due_in_s is not null then now() + least(release.due_in_s, 2.5e11) * interval '1 second'
        end as due_at
    from unnest(%(runs)b::uuid[], %(tokens)b::bigint[], %(dues)b::float8[], %(attentions)b::text[],
        %(lacking)b::bool[]) as release(id, token, due_in_s, attention, lacks_code)
),
released as (
    update continuum_runs as run
    set lease_owner = null,
        lease_token = null,
        previous_owner = run.lease_owner,
        due_at = given.due_at,
        attention = given.attention,
        parked_for = case when given.lacks_code then run.workflow || '@' || coalesce(run.version_hash, '') end,
        parked_until = case when given.lacks_code or given.attention is not null then given.due_at end,
        state = case when given.due_at <= now() then 'running' else 'suspended' end
    from given
    where run.id = given.id
      and run.lease_token = given.token
      and run.state in ('running', 'suspended')
    returning run.due_at, run.parked_for
)
select pg_notify(current_schema() || '_due', case when bool_or(parked_for is not null) then 'left' else 'due' end)
from released
where due_at is not null
having count(*) > 0
