-- Write the last step of one run, with two events at most, and tell waiting clients unless the notice is empty; say whether it is fenced off and left out. Locks: the run; the notification queue, at commit. Index: primary keys.
-- See commit_one.sql. `clear_bare` or `clear_ended` follows in the same transaction, and removes what the step set besides, too.
-- The signals that it has consumed have to be there, see forgotten_signals.sql.
-- What is asked of `live` in the end sends the notice as well; it is null only if the run was not written. The notice may
-- say what the run returned, so it goes to a channel whose name is a secret (migration 0012).
with live as (
    update continuum_runs as run
    set state = %(state)b::text,
        version_hash = coalesce(nullif(%(version_hash)b::text, ''), run.version_hash),
        last_seq = %(last_seq)b::bigint,
        result = %(result)b::bytea,
        error = %(error)b::bytea,
        completed_at = now(),
        due_at = null,
        previous_owner = run.lease_owner,
        lease_owner = null,
        lease_token = null
    where run.id = %(id)b::uuid
      and run.lease_token = %(token)b::bigint
      and run.last_seq = %(base_seq)b::bigint
      and run.state in ('running', 'suspended')
      and not exists (
          select from unnest(%(reads)b::bigint[]) as read(id)
          where not exists (
              select from continuum_signals as mail
              where mail.id = any(array[read.id]) and (mail.run_id = %(id)b::uuid and not mail.consumed) is true
          )
      )
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
where (
    select case
        when %(notice)b::text = '' then ''
        else coalesce(
            (select pg_notify(channel, %(notice)b::text)::text from continuum_channels where name = 'outcomes'), ''
        )
    end
    from live
) is null
