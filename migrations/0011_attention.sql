-- Purpose. Runs that wait for a person are found without a look at the others.
-- attention changes when a run is given back or claimed, never in a step: updates of steps stay in their page.
create index continuum_runs_attention on continuum_runs (due_at, id)
    where attention is not null and completed_at is null;
