-- Store how attempts ended, and wake their runs. Locks: runs by depth and id, then tasks. Index: primary keys.
-- The first outcome of an attempt stays, and none replaces that of a later attempt.
with offered as materialized (
    select distinct on (outcome.run_id, outcome.seq) outcome.*
    from unnest(
        %(runs)b::uuid[], %(seqs)b::bigint[], %(attempts)b::bigint[], %(oks)b::bool[], %(payloads)b::bytea[],
        %(timeouts)b::bool[], %(details)b::bytea[]
    ) with ordinality as outcome(run_id, seq, attempt, ok, payload, timed_out, details, position)
    order by outcome.run_id, outcome.seq, outcome.attempt desc, outcome.position
),
locked as materialized (
    select run.id, run.lease_owner, run.due_at
    from continuum_runs as run
    where run.id = any(%(runs)b::uuid[])
      and run.state in ('running', 'suspended')
    order by run.depth, run.id
    for no key update of run
),
stored as (
    insert into continuum_activity_tasks as task (
        run_id, seq, attempt, activity, args, queue, state, due_at, ok, outcome, timed_out, heartbeat
    )
    select run_id, seq, attempt, '', '', '', 'done', now(), ok, payload, timed_out, details
    from offered
    where (run_id in (select id from locked)) is true
    order by run_id, seq
    on conflict (run_id, seq) do update
    set attempt = excluded.attempt,
        state = 'done',
        ok = excluded.ok,
        outcome = excluded.outcome,
        timed_out = excluded.timed_out,
        heartbeat = excluded.heartbeat
    where task.attempt < excluded.attempt
       or (task.attempt = excluded.attempt and task.state <> 'done')
    returning task.run_id
),
woken as (
    update continuum_runs as run
    set due_at = now()
    from locked
    where run.id = locked.id
      and (run.id in (select run_id from stored)) is true
      and locked.lease_owner is null
      and (locked.due_at is null or locked.due_at > now())
      and run.started_at is not null
)
select locked.id, owner.owner
from locked
left join continuum_owners as owner on owner.owner = locked.lease_owner and owner.expires_at > now()
where (locked.id in (select run_id from stored)) is true
order by locked.id
