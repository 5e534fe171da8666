-- Lease due runs without a live owner, oldest due first. Locks: runs, those locked by others skipped. Index: continuum_runs_due, continuum_runs_leased, continuum_runs_parked.
-- The ways to be claimable are read in order up to the limit, and locked as they are read; what exceeds the limit
-- of all together is let go with the transaction. A run that waits for code is due for those who have it only. Committed asynchronously: see skip_numbers.
-- "wanted" does not ask for a due_at: that would let the planner walk continuum_runs_due instead of its own small index.
with me as materialized (
    select owner, loaded from continuum_owners where owner = %(owner)b::text and expires_at > now()
),
ownerless as materialized (
    select run.id, run.due_at, run.previous_owner
    from continuum_runs as run
    where exists (select 1 from me)
      and run.lease_owner is null
      and run.due_at <= now()
      and (run.parked_until is null or run.parked_until <= now())
    order by run.due_at, run.id
    limit %(limit)b::bigint
    for no key update of run skip locked
),
wanted as materialized (
    select run.id, run.due_at, run.previous_owner
    from continuum_runs as run
    where run.parked_for = any(array(select unnest(loaded) from me))
      and run.parked_until > now()
      and run.state in ('running', 'suspended')
    order by run.due_at, run.id
    limit %(limit)b::bigint
    for no key update of run skip locked
),
orphaned as materialized (
    select run.id, coalesce(run.due_at, now()) as due_at, run.lease_owner as previous_owner
    from continuum_runs as run
    where exists (select 1 from me)
      and run.lease_owner = any(array(select owner from continuum_owners where expires_at <= now()))
    order by coalesce(run.due_at, now()), run.id
    limit %(limit)b::bigint
    for no key update of run skip locked
),
chosen as materialized (
    select id, due_at, previous_owner from ownerless
    union all
    select id, due_at, previous_owner from wanted
    union all
    select id, due_at, previous_owner from orphaned
    order by due_at, id
    limit %(limit)b::bigint
),
claimed as (
    update continuum_runs as run
    set lease_owner = me.owner,
        lease_token = nextval('continuum_lease_token_seq'),
        previous_owner = chosen.previous_owner,
        attention = case when run.parked_for is null then run.attention end,
        parked_for = null,
        parked_until = null,
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
        run.depth,
        chosen.due_at
)
select claimed.*, set_config('synchronous_commit', 'off', true)
from claimed
order by due_at, id
