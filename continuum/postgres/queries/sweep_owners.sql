-- Forget owners that are long dead and own nothing any more, and their sessions. Locks: owners, then sessions. Index: continuum_runs_leased, continuum_activity_tasks_running, primary keys.
-- An expired owner's row stays until then: a claim finds the runs of dead owners by it, without a look at others.
with swept as (
    delete from continuum_owners as dead
    where dead.expires_at < now() - interval '1 hour'
      and (select true from continuum_runs as run where run.lease_owner = dead.owner limit 1) is null
      and (
          select true from continuum_activity_tasks as task
          where task.claimed_by = dead.owner and task.state = 'running'
          limit 1
      ) is null
    returning dead.owner
)
delete from continuum_sessions as session
using swept
where session.owner = swept.owner
