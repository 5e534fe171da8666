-- Forget versions that no live run is pinned to and no live engine has loaded. Locks: versions. Index: none, for people.
with pinned as materialized (
    select distinct run.workflow, run.version_hash
    from continuum_runs as run
    where run.state in ('running', 'suspended')
      and run.version_hash is not null
),
loaded as materialized (
    select distinct code
    from continuum_owners as owner
    cross join lateral unnest(owner.loaded) as code
    where owner.expires_at > now()
),
collected as (
    delete from continuum_workflow_versions as version
    where not exists (
        select 1
        from pinned
        where pinned.workflow = version.workflow and pinned.version_hash = version.version_hash
    )
      and not exists (select 1 from loaded where loaded.code = version.workflow || '@' || version.version_hash)
    returning version.workflow, version.version_hash
)
select workflow, version_hash from collected order by workflow, version_hash
