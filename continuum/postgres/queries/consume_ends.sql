-- Note that parents have read how children ended. Locks: children that have ended, below their parents' locks. Index: primary key.
update continuum_runs as child
set end_awaited = false
where child.id = any(%(children)b::uuid[])
  and ((child.parent_run_id, child.id) in (
      select parent_run_id, id from unnest(%(parents)b::uuid[], %(children)b::uuid[]) as consumed(parent_run_id, id)
  )) is true
  and (child.completed_at is not null and child.end_awaited) is true
