-- Merge attributes into a run's. Locks: the run. Index: primary key.
update continuum_runs
set attributes = attributes || %(attributes)b::text::jsonb
where id = %(run)b::uuid
returning id
