-- Remove the signals that a run left unread when it ended: all that there is of one that never had more. Locks: signals, below the run's lock. Index: primary key, run_id.
-- See `clear_ended`, and `RunCommit.is_bare`, for whose sake five tables need not be opened.
delete from continuum_signals
where run_id = %(run)b::uuid
  and exists (select 1 from continuum_runs where id = %(run)b::uuid and state not in ('running', 'suspended'))
