-- Count the runs that nobody owns, and that a time makes due. Locks: none. Index: continuum_runs_due.
select
    count(*) filter (where due_at <= now()),
    extract(epoch from now() - min(due_at) filter (where due_at <= now()))::float8,
    count(*) filter (where due_at > now())
from continuum_runs
where lease_owner is null
  and due_at is not null
