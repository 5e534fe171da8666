-- Lock the children of runs that are locked already, as far as something may live there or below; say which live. Locks: runs by depth and id, below their parents. Index: continuum_runs_children.
-- A child that has ended is of interest for the children that it left. It starts none any more.
select child.id, child.state in ('running', 'suspended')
from continuum_runs as child
where child.parent_run_id = any(%(parents)b::uuid[])
  and (
      child.state in ('running', 'suspended')
      or (select true from continuum_runs as below where below.parent_run_id = child.id limit 1)
  )
order by child.depth, child.id
for no key update of child
