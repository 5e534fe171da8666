-- Write one step of one run that goes on, with two events at most; say whether it is fenced off and left out. Locks: the run. Index: primary keys.
-- What `commit_events` does for a batch, with plain values instead of arrays: on an idle system, where everything is
-- cold, a step costs by the nodes of its plan and the calls that encode it. An event that is not there has seq 0. No
-- parameter is null: a statement is prepared once for each combination of types, and null has none.
with live as (
    update continuum_runs as run
    set state = %(state)b::text,
        version_hash = coalesce(nullif(%(version_hash)b::text, ''), run.version_hash),
        last_seq = %(last_seq)b::bigint
    where run.id = %(id)b::uuid
      and run.lease_token = %(token)b::bigint
      and run.last_seq = %(base_seq)b::bigint
      and run.state in ('running', 'suspended')
    returning run.id
),
written as (
    insert into continuum_events (run_id, seq, kind, payload)
    select live.id, event.seq, event.kind, event.payload
    from live
    cross join (
        values
            (%(seq_1)b::bigint, %(kind_1)b::smallint, %(payload_1)b::bytea),
            (%(seq_2)b::bigint, %(kind_2)b::smallint, %(payload_2)b::bytea)
    ) as event(seq, kind, payload)
    where event.seq > 0
)
select %(id)b::uuid
where not exists (select from live)
