-- Insert a run, as `insert` does many, and tell the dispatchers; one that exists is left alone. Locks: none. Index: primary key.
insert into continuum_runs (
    id, key, workflow, version_hash, state, namespace, attributes, args, parent_run_id, correlation_id,
    continued_from_run_id, due_at
)
values (
    %(id)b::uuid, %(key)b::text, %(workflow)b::text, %(version_hash)b::text, 'running', %(namespace)b::text,
    %(attributes)b::text::jsonb, %(args)b::bytea, %(parent)b::uuid,
    coalesce(%(correlation)b::uuid, %(id)b::uuid), %(predecessor)b::uuid,
    now() + least(%(delay)b::float8, 3e9) * interval '1 second'
)
on conflict (id) do nothing
returning pg_notify(current_schema() || '_due', 'due'), case when %(early)b::boolean then set_config('synchronous_commit', 'off', true) end
