-- End the attempts of every claimer that is not live as lost, and wake their runs. Locks: runs by depth and id, then tasks. Index: continuum_activity_tasks_running, primary keys.
with lost as materialized (
    select task.run_id, task.seq
    from continuum_activity_tasks as task
    where task.state = 'running'
      and not exists (
          select 1 from continuum_owners as owner where owner.owner = task.claimed_by and owner.expires_at > now()
      )
),
locked as materialized (
    select run.id, run.lease_owner, run.due_at
    from continuum_runs as run
    where run.id = any(array(select run_id from lost))
      and run.state in ('running', 'suspended')
    order by run.depth, run.id
    for no key update of run
),
failed as (
    update continuum_activity_tasks as task
    set state = 'done',
        ok = false,
        outcome = %(failure)b::bytea,
        timed_out = false
    from lost
    where task.run_id = any(array[lost.run_id])
      and task.seq = any(array[lost.seq])
      and (lost.run_id in (select id from locked)) is true
      and (task.state = 'running') is true
      and not exists (
          select 1 from continuum_owners as owner where owner.owner = task.claimed_by and owner.expires_at > now()
      )
    returning task.run_id
),
woken as (
    update continuum_runs as run
    set due_at = now()
    from locked
    where run.id = locked.id
      and (run.id in (select run_id from failed)) is true
      and locked.lease_owner is null
      and (locked.due_at is null or locked.due_at > now())
)
select locked.id, owner.owner
from locked
left join continuum_owners as owner on owner.owner = locked.lease_owner and owner.expires_at > now()
where (locked.id in (select run_id from failed)) is true
order by locked.id
