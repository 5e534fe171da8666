-- Read what waits for a run that never had timers, tasks or children, if the lease holds: a cancel, and a row for each signal, or one without. Locks: none. Index: primary key, continuum_signals_unread.
-- What `mail` reads for many runs of any kind. Between a signal and its answer nothing costs so much as this read.
-- A bounded number of signals has a bounded size; if that many are there, `mail` is asked for the rest.
select
    extract(epoch from run.cancel_requested_at)::float8,
    run.cancel_cleanup_s,
    run.cancel_reason,
    run.cancel_due_at is not null and not run.cancel_heard,
    signal.id,
    signal.name,
    signal.payload
from continuum_runs as run
left join continuum_signals as signal on signal.run_id = run.id and not signal.consumed
where run.id = %(run)b::uuid
  and run.lease_token = %(token)b::bigint
  and run.state in ('running', 'suspended')
order by signal.id
limit 16
