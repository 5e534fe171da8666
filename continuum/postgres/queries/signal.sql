-- Put a signal into the mailbox of a run, and wake it. Locks: the run, then signals. Index: primary keys, continuum_signals_delivery.
-- The run's lock comes first: the run cannot end, move or be given back between the look at it and the insertion.
-- An engine that hears is told the signal itself, if that is the next one of its name: asked under the lock, so nobody comes
-- between. Otherwise, and if it is long, it is told that there is mail.
-- A run that was never claimed begins when it was to begin, and is told apart by the claim, so that its code finds the signal.
-- The third column is the last run of the chain if the run was continued: the signal is for that one.
with run as materialized (
    select id, state, lease_owner, due_at, started_at, mail_first, continued_to_run_id
    from continuum_runs
    where id = %(run)b::uuid
    for no key update
),
stored as (
    insert into continuum_signals (run_id, name, payload, delivery_id)
    select id, %(name)b::text, %(payload)b::bytea, %(delivery_id)b::text
    from run
    where state in ('running', 'suspended')
    on conflict (run_id, delivery_id) do nothing
    returning run_id, id
),
woken as (
    update continuum_runs
    set due_at = case when run.started_at is null then run.due_at else now() end,
        mail_first = run.mail_first or run.started_at is null
    from run
    where continuum_runs.id = run.id
      and exists (select 1 from stored)
      and run.lease_owner is null
      and case when run.started_at is null then not run.mail_first else run.due_at is null or run.due_at > now() end
)
select
    run.state,
    stored.run_id is not null,
    case when run.continued_to_run_id is not null then coalesce(
        (
            with recursive chain as (
                select id, continued_to_run_id from continuum_runs where id = run.continued_to_run_id
                union all
                select next.id, next.continued_to_run_id
                from chain
                join continuum_runs as next on next.id = chain.continued_to_run_id
            )
            select id from chain where continued_to_run_id is null
        ),
        run.continued_to_run_id  -- too new to be seen here, if the run was continued while this waited for its lock
    ) end,
    case
        when stored.run_id is null then null
        when owner.owner is null then pg_notify(current_schema() || '_due', 'due')
        when owner.channel is null then pg_notify(
            current_schema() || '_wake', 'mail:' || replace(run.id::text, '-', '') || ':' || owner.owner
        )
        else pg_notify(
            owner.channel,
            'signal:' || replace(run.id::text, '-', '') || ':' || stored.id || ':'
            || case when continuum_unread_before(run.id, %(name)b::text, stored.id) then '' else %(told)b::text end
        )
    end,
    case when %(early)b::boolean then set_config('synchronous_commit', 'off', true) end
from run
left join stored on stored.run_id = run.id
left join continuum_owners as owner on owner.owner = run.lease_owner and owner.expires_at > now()
