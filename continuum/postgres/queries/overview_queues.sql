-- Count the tasks of every queue that has any. Locks: none. Index: none, task rows are those that wait or travel.
select
    queue,
    count(*) filter (where state = 'queued'),
    count(*) filter (where state = 'queued' and due_at <= now()),
    count(*) filter (where state = 'running'),
    extract(epoch from now() - min(due_at) filter (where state = 'queued' and due_at <= now()))::float8
from continuum_activity_tasks
where state in ('queued', 'running')
group by queue
order by queue
