-- Lease due runs that nobody holds and that wait for no code, as claim does, and for less. Locks: runs, those locked by others skipped. Index: continuum_runs_due.
-- This is what a new run waits for, so there is nothing in it that a new run does not need. Committed asynchronously: see skip_numbers.
update continuum_runs as run
set lease_owner = %(owner)b::text,
    lease_token = nextval('continuum_lease_token_seq'),
    attention = case when run.parked_for is null then run.attention end,
    parked_for = null,
    parked_until = null,
    state = 'running',
    started_at = coalesce(run.started_at, now()),
    begun_at = case when run.last_seq = 0 then now() else run.begun_at end
where run.id = any(array(
    select id
    from continuum_runs
    where exists (select 1 from continuum_owners where owner = %(owner)b::text and expires_at > now())
      and lease_owner is null
      and due_at <= now()
      and (parked_until is null or parked_until <= now())
    order by due_at, id
    limit %(limit)b::bigint
    for no key update skip locked
))
returning
    run.id,
    run.lease_token,
    run.previous_owner is null and not run.mail_first and (run.cancel_due_at is null) is true,
    run.workflow,
    run.version_hash,
    case when octet_length(run.args) <= %(args_max)b::bigint then run.args end,
    run.namespace,
    extract(epoch from coalesce(run.begun_at, run.created_at))::float8,
    run.correlation_id,
    run.parent_run_id,
    run.continued_from_run_id,
    run.previous_owner,
    run.depth,
    run.due_at,
    set_config('synchronous_commit', 'off', true)
