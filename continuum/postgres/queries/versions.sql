-- List the versions of workflows, with how many live runs and engines have them. Locks: none. Index: none, for people.
with pinned as materialized (
    select run.workflow, run.version_hash, count(*) as runs
    from continuum_runs as run
    where run.state in ('running', 'suspended')
      and run.version_hash is not null
    group by run.workflow, run.version_hash
),
loaded as materialized (
    select code, count(*) as engines
    from continuum_owners as owner
    cross join lateral unnest(owner.loaded) as code
    where owner.expires_at > now()
    group by code
)
select
    workflow,
    version_hash,
    extract(epoch from version.first_loaded_at)::float8,
    extract(epoch from version.last_loaded_at)::float8,
    coalesce(pinned.runs, 0),
    coalesce(loaded.engines, 0)
from continuum_workflow_versions as version
full join pinned using (workflow, version_hash)
left join loaded on loaded.code = workflow || '@' || version_hash
order by workflow, version.first_loaded_at nulls last, version_hash
