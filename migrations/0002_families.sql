-- Purpose. Children, continuations, and cancels that leave time for clean-up.
-- Columns with constant defaults rewrite nothing. None of them changes in an ordinary step, nor does completed_at:
-- the indexes over them leave such updates in their page.

alter table continuum_runs
    add column parent_command bigint,
    add column depth integer not null default 0,
    add column end_awaited boolean not null default false,
    add column cancel_requested_at timestamptz,
    add column cancel_cleanup_s double precision,
    add column cancel_due_at timestamptz,
    add column cancel_reason text;

-- end_awaited: the parent's journal has the start of this run and not its end.
create index continuum_runs_children on continuum_runs (parent_run_id) where parent_run_id is not null;
create index continuum_runs_child_ends on continuum_runs (parent_run_id) where end_awaited and completed_at is not null;
create index continuum_runs_cancels on continuum_runs (cancel_due_at) where cancel_due_at is not null and completed_at is null;
