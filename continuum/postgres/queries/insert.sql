-- Insert runs, due after their delay, and tell the dispatchers; runs that exist are left alone. Locks: none. Index: primary key.
with seeds as (
    select *
    from unnest(
        %(ids)b::uuid[], %(keys)b::text[], %(workflows)b::text[], %(version_hashes)b::text[], %(namespaces)b::text[],
        %(attributes)b::text[], %(args)b::bytea[], %(delays)b::float8[], %(parents)b::uuid[],
        %(correlations)b::uuid[], %(predecessors)b::uuid[]
    ) as seed(
        id, key, workflow, version_hash, namespace, attributes, args, delay_s, parent_run_id, correlation_id,
        continued_from_run_id
    )
),
inserted as (
    insert into continuum_runs (
        id, key, workflow, version_hash, state, namespace, attributes, args, parent_run_id, correlation_id,
        continued_from_run_id, due_at
    )
    select
        id, key, workflow, version_hash, 'running', namespace, attributes::jsonb, args, parent_run_id, correlation_id,
        continued_from_run_id, now() + least(delay_s, 2.5e11) * interval '1 second'
    from seeds
    order by id
    on conflict (id) do nothing
    returning id
)
select id, null::bigint, (select pg_notify(current_schema() || '_due', 'due'))
from inserted
