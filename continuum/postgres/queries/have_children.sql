-- Say which of these runs have children. Locks: none; the runs are locked, so that the answer stays true. Index: continuum_runs_children.
-- A statement of its own after lock_steps: only a new snapshot sees what the former holder of the lock did.
select run.id
from unnest(%(runs)b::uuid[]) as run(id)
where exists (select 1 from continuum_runs as child where child.parent_run_id = run.id)
