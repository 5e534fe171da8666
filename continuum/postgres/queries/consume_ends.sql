-- Note that parents have read how children ended. Locks: children that have ended, below their parents' locks. Index: primary key.
update continuum_runs as child
set end_awaited = false
from unnest(%(parents)b::uuid[], %(children)b::uuid[]) as consumed(parent_run_id, id)
where child.id = consumed.id
  and child.parent_run_id = consumed.parent_run_id
  and child.completed_at is not null
  and child.end_awaited
