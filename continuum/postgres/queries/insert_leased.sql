-- Insert runs leased to an owner; runs that exist are left alone. Locks: none. Index: primary key.
-- An owner that was never registered gets a row, expired: a dead owner's runs are found by its row.
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
known as (
    insert into continuum_owners (owner, node, address, expires_at)
    values (%(owner)b::text, '', '', now())
    on conflict (owner) do nothing
)
insert into continuum_runs (
    id, key, workflow, version_hash, state, namespace, attributes, args, parent_run_id, correlation_id,
    continued_from_run_id, due_at, lease_owner, lease_token, started_at
)
select
    id, key, workflow, version_hash, 'running', namespace, attributes::jsonb, args, parent_run_id, correlation_id,
    continued_from_run_id, now() + least(delay_s, 2.5e11) * interval '1 second',
    %(owner)b::text, nextval('continuum_lease_token_seq'), now()
from seeds
order by id
on conflict (id) do nothing
returning id, lease_token
