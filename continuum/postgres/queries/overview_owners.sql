-- List the owners that are live or own something, with what they own. Locks: none. Index: continuum_runs_leased, continuum_activity_tasks_running.
with runs as materialized (
    select lease_owner as owner, count(*) as runs
    from continuum_runs
    where lease_owner is not null
    group by lease_owner
),
tasks as materialized (
    select claimed_by as owner, count(*) as tasks
    from continuum_activity_tasks
    where state = 'running'
    group by claimed_by
)
select
    owner,
    coalesce(known.node, split_part(owner, '/', 1)),
    coalesce(known.address, ''),
    coalesce(extract(epoch from known.expires_at - now()), 0)::float8,
    coalesce(runs.runs, 0),
    coalesce(tasks.tasks, 0)
from continuum_owners as known
full join runs using (owner)
full join tasks using (owner)
where known.expires_at > now()
   or runs.runs is not null
   or tasks.tasks is not null
order by owner
