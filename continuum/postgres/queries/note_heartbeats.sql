-- Note the last details of claimed attempts. Locks: tasks, those locked by others skipped: they are being taken away. Index: primary key.
with mine as materialized (
    select task.run_id, task.seq, beat.details
    from unnest(%(runs)b::uuid[], %(seqs)b::bigint[], %(attempts)b::bigint[], %(details)b::bytea[])
        as beat(run_id, seq, attempt, details)
    join continuum_activity_tasks as task on task.run_id = any(array[beat.run_id]) and task.seq = any(array[beat.seq])
    where (task.attempt = beat.attempt and task.state = 'running' and task.claimed_by = %(claimer)b::text) is true
    for no key update of task skip locked
)
update continuum_activity_tasks as task
set heartbeat = mine.details
from mine
where task.run_id = any(array[mine.run_id])
  and task.seq = any(array[mine.seq])
