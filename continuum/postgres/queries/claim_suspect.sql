-- Lease the suspect that has waited longest to an engine that takes no other run. Locks: one run, those locked by others skipped. Index: continuum_runs_parked.
-- An owner that lacks the run's code takes it when it has waited for a minute: it may be one that adopts.
with me as materialized (
    select owner, loaded from continuum_owners where owner = %(owner)b::text and expires_at > now()
),
chosen as materialized (
    select run.id, run.previous_owner
    from me
    join continuum_runs as run on run.parked_for = '!alone'
    where run.lease_owner is null
      and run.state in ('running', 'suspended')
      and run.alone_at <= now()
      and (
          run.workflow || '@' || coalesce(run.version_hash, '') = any(me.loaded)
          or run.alone_at <= now() - interval '1 minute'
      )
    order by run.alone_at, run.id
    limit 1
    for no key update of run skip locked
)
update continuum_runs as run
set lease_owner = me.owner,
    lease_token = nextval('continuum_lease_token_seq'),
    previous_owner = chosen.previous_owner,
    attention = null,
    parked_for = null,
    parked_until = null,
    alone_at = null,
    state = 'running',
    started_at = coalesce(run.started_at, now()),
    begun_at = case when run.last_seq = 0 then now() else run.begun_at end
from chosen, me
where run.id = chosen.id
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
    run.depth
