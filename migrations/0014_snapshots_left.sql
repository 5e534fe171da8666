-- Purpose. Snapshots that were committed while their runs ended, and that nobody has removed since.
-- A run that ends waits now for a snapshot that is being written. Code of before runs on it, and may leave some more.
delete from continuum_snapshots as snapshot
where not exists (
    select from continuum_runs as run
    where run.id = snapshot.run_id and run.state in ('running', 'suspended')
);
