-- Purpose. Runs that have not begun: when their first step began, and what was there before it.
-- Code of before leaves the columns alone: its runs begin, for their code, when they were inserted, as they did.

-- begun_at: the last claim before the run's first event; null for a run that was leased as it was inserted, and for one that
-- code of before has begun: these begin at created_at. mail_first: signals came before the first claim, and are to be read
-- before the code runs. cancel_heard: the parent had heard of the cancel when it started this run, which is a part of the
-- clean-up: it hears nothing, and ends with the time for it.
alter table continuum_runs
    add column begun_at timestamptz,
    add column mail_first boolean not null default false,
    add column cancel_heard boolean not null default false;
