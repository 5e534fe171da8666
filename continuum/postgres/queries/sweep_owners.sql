-- Forget owners that are long dead and own nothing any more. Locks: owners. Index: continuum_runs_leased, continuum_activity_tasks_running.
-- An expired owner's row stays until then: a claim finds the runs of dead owners by it, without a look at others.
delete from continuum_owners as dead
where dead.expires_at < now() - interval '1 hour'
  and not exists (select 1 from continuum_runs as run where run.lease_owner = dead.owner)
  and not exists (
      select 1 from continuum_activity_tasks as task where task.claimed_by = dead.owner and task.state = 'running'
  )
