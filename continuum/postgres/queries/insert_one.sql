-- Insert a run, leased to an engine of this host that hears and has room for it, or due for the dispatchers, and tell either; one that exists is left alone. Locks: the advisory lock of the engine, if it is free, for a moment. Index: continuum_owners_room, primary key.
-- On its own machine only: when that vanishes the client does, too, so no client gives runs to a host that is gone. An
-- engine that has died there has no session any more, and its lock is free. Kept to the end of the transaction, it would
-- make the next one who tries believe that the engine lives.
-- A caller's transaction may take an hour to be committed, and the engine's row be gone by then: such a run is for the dispatchers.
-- What the engine is told may be the run itself (migration 0013); its moment as a decimal number, because how a float is
-- written depends on the session.
with near as materialized (
    select owner, channel
    from continuum_owners
    where host = %(host)b::text
      and room > 0
      and expires_at > now()
      and loaded @> array[%(workflow)b::text || '@' || coalesce(%(version_hash)b::text, '')]
      and %(early)b::boolean
      and %(delay)b::float8 <= 0
    order by room desc, owner
    limit 1
),
inserted as (
    insert into continuum_runs (
        id, key, workflow, version_hash, state, namespace, attributes, args, parent_run_id, correlation_id,
        continued_from_run_id, due_at, lease_owner, lease_token, started_at
    )
    select
        %(id)b::uuid, %(key)b::text, %(workflow)b::text, %(version_hash)b::text, 'running', %(namespace)b::text,
        %(attributes)b::text::jsonb, %(args)b::bytea, %(parent)b::uuid,
        coalesce(%(correlation)b::uuid, %(id)b::uuid), %(predecessor)b::uuid,
        now() + least(%(delay)b::float8, 2.5e11) * interval '1 second',
        near.owner,
        case when near.owner is not null then nextval('continuum_lease_token_seq') end,
        case when near.owner is not null then now() end
    from (select) as one
    left join near
      on not case
          when pg_try_advisory_lock(hashtextextended(current_schema() || '/' || near.owner, 0))
          then pg_advisory_unlock(hashtextextended(current_schema() || '/' || near.owner, 0))
          else false
      end
    on conflict (id) do nothing
    returning id, lease_owner, lease_token, created_at
)
select
    case
        when inserted.lease_owner is null then pg_notify(current_schema() || '_due', 'due')
        else pg_notify(
            near.channel,
            'leased:' || replace(inserted.id::text, '-', '') || ':' || inserted.lease_token || ':'
            || extract(epoch from inserted.created_at)::text || ':' || %(told)b::text
        )
    end,
    case when %(early)b::boolean then set_config('synchronous_commit', 'off', true) end
from inserted
left join near on near.owner = inserted.lease_owner
