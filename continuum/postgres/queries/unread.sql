-- List runs of these owners that have unread mail, the newest signals last. Locks: none. Index: primary keys, continuum_signals_unread, continuum_activity_tasks_done, continuum_runs_child_ends, continuum_runs_cancels.
-- Newest first: a signal that no wait asks for stays unread for long, and must not hide one that was just missed.
select mail.run_id, run.lease_owner
from (
    select task.run_id, null::bigint as signal_id
    from continuum_activity_tasks as task
    where task.state = 'done'
    union all
    select child.parent_run_id, null
    from continuum_runs as child
    where child.end_awaited
      and child.completed_at is not null
    union all
    select asked.id, null
    from continuum_runs as asked
    where asked.cancel_due_at is not null
      and asked.completed_at is null
      and not asked.cancel_heard
      and (
          select true from continuum_events as event where event.run_id = asked.id and event.kind = 19 limit 1
      ) is null
    union all
    select signal.run_id, max(signal.id)
    from continuum_signals as signal
    where not signal.consumed
    group by signal.run_id
) as mail
join continuum_runs as run on run.id = any(array[mail.run_id])
where (run.lease_owner = any(%(owners)b::text[])) is true
group by mail.run_id, run.lease_owner
order by bool_or(mail.signal_id is null) desc, max(mail.signal_id) desc
limit %(limit)b::bigint
