-- Read how children ended that their parents have not consumed, as they ended. Locks: none. Index: continuum_runs_child_ends.
select
    parent_run_id,
    id,
    parent_command,
    state,
    case state when 'completed' then result when 'failed' then error end
from continuum_runs
where parent_run_id = any(%(runs)b::uuid[])
  and end_awaited
  and completed_at is not null
order by parent_run_id, completed_at, id
