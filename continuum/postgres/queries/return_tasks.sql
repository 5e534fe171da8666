-- Queue claimed attempts again that reached no worker. Locks: tasks, those locked by others skipped: they are being taken away. Index: primary key.
with mine as materialized (
    select task.run_id, task.seq
    from unnest(%(runs)b::uuid[], %(seqs)b::bigint[], %(attempts)b::bigint[]) as claimed(run_id, seq, attempt)
    join continuum_activity_tasks as task on task.run_id = any(array[claimed.run_id]) and task.seq = any(array[claimed.seq])
    where (task.attempt = claimed.attempt and task.state = 'running' and task.claimed_by = %(claimer)b::text) is true
    for no key update of task skip locked
),
returned as (
    update continuum_activity_tasks as task
    set state = 'queued',
        due_at = now(),
        claimed_by = null,
        worker = null
    from mine
    where task.run_id = any(array[mine.run_id])
      and task.seq = any(array[mine.seq])
    returning task.seq
)
select pg_notify(current_schema() || '_due', 'task')
where exists (select 1 from returned)
