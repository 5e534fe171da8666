-- Note the workflow versions that a node has loaded. Locks: versions in order. Index: primary key.
insert into continuum_workflow_versions (workflow, version_hash)
select distinct loaded.workflow, loaded.version_hash
from unnest(%(workflows)b::text[], %(version_hashes)b::text[]) as loaded(workflow, version_hash)
order by loaded.workflow, loaded.version_hash
on conflict (workflow, version_hash) do update
set last_loaded_at = now()
