-- Write one step of each run of a batch: events and the run's row, nothing else; say which runs are fenced off and left out whole. Locks: runs by id. Index: primary keys.
-- The hot path, for runs without a parent, which come in the order of their ids: so the update needs no pass of locks
-- before it (docs/sql.md, Commits). A row that another transaction changes meanwhile is waited for, and the fence is
-- looked at again. "(x in (select ...)) is true" is on purpose: it is always hashed, while a plain "in" becomes a join,
-- and a nested loop over the whole batch as soon as the planner guesses that few runs pass the fence.
with live as (
    update continuum_runs as run
    set state = step.state,
        last_seq = step.last_seq,
        result = step.result,
        error = step.error,
        completed_at = case when step.ends then now() end,
        due_at = case when not step.ends then run.due_at end,
        previous_owner = case when step.ends then run.lease_owner else run.previous_owner end,
        lease_owner = case when not step.ends then run.lease_owner end,
        lease_token = case when not step.ends then run.lease_token end
    from (
        select *, state not in ('running', 'suspended') as ends
        from unnest(
            %(runs)b::uuid[], %(tokens)b::bigint[], %(bases)b::bigint[], %(lasts)b::bigint[], %(states)b::text[],
            %(results)b::bytea[], %(errors)b::bytea[]
        ) as batch(id, token, base_seq, last_seq, state, result, error)
    ) as step
    where run.id = step.id
      and run.lease_token = step.token
      and run.last_seq = step.base_seq
      and run.state in ('running', 'suspended')
    returning run.id
),
written as (
    insert into continuum_events (run_id, seq, kind, payload)
    select event.run_id, event.seq, event.kind, event.payload
    from unnest(
        %(event_runs)b::uuid[], %(event_seqs)b::bigint[], %(event_kinds)b::smallint[], %(event_payloads)b::bytea[]
    ) as event(run_id, seq, kind, payload)
    where (event.run_id in (select id from live)) is true
)
select batch.id
from unnest(%(runs)b::uuid[]) as batch(id)
where (batch.id in (select id from live)) is not true
