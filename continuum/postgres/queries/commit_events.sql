-- Write one step of each run of a batch: events and the run's row, nothing else; runs fenced off are left out whole. Locks: runs by depth and id. Index: primary keys.
-- The hot path. "(x in (select ...)) is true" is on purpose: it is always hashed, while a plain "in" becomes a join,
-- and a nested loop over the whole batch as soon as the planner guesses that few runs pass the fence.
with batch as (
    select *, state not in ('running', 'suspended') as ends
    from unnest(
        %(runs)b::uuid[], %(tokens)b::bigint[], %(bases)b::bigint[], %(lasts)b::bigint[], %(states)b::text[],
        %(results)b::bytea[], %(errors)b::bytea[]
    ) as step(id, token, base_seq, last_seq, state, result, error)
),
held as materialized (
    select batch.*
    from batch
    join continuum_runs as run on run.id = batch.id
    where run.lease_token = batch.token
      and run.last_seq = batch.base_seq
      and run.state in ('running', 'suspended')
    order by run.depth, run.id
    for no key update of run
),
live as (
    update continuum_runs as run
    set state = held.state,
        last_seq = held.last_seq,
        result = held.result,
        error = held.error,
        completed_at = case when held.ends then now() end,
        due_at = case when not held.ends then run.due_at end,
        previous_owner = case when held.ends then run.lease_owner else run.previous_owner end,
        lease_owner = case when not held.ends then run.lease_owner end,
        lease_token = case when not held.ends then run.lease_token end
    from held
    where run.id = held.id
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
select id from live
