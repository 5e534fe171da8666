-- List runs of these owners that have unread mail, outcomes first, then the newest signals. Locks: none. Index: continuum_runs_leased, continuum_signals_unread, continuum_activity_tasks_done.
-- Newest first: a signal that no wait asks for stays unread for long, and must not hide one that was just missed.
select mail.run_id, run.lease_owner
from (
    select task.run_id, null::bigint as signal_id
    from continuum_activity_tasks as task
    where task.state = 'done'
    union all
    select signal.run_id, max(signal.id)
    from continuum_signals as signal
    where not signal.consumed
    group by signal.run_id
) as mail
join continuum_runs as run on run.id = mail.run_id
where run.lease_owner = any(%(owners)b::text[])
group by mail.run_id, run.lease_owner
order by bool_or(mail.signal_id is null) desc, max(mail.signal_id) desc
limit %(limit)b::bigint
