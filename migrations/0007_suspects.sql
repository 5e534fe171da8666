-- Purpose. Runs that an engine has died of: they are resumed alone, and set aside when that does not help.
-- A suspect waits like a run without its code does, for ever, and under a name that no engine has loaded: so code of
-- before leaves it alone. No ordinary step changes any of these columns.

-- engine_deaths: engines that died while code of this run ran in them, since it last got ahead; deaths_seq: its
-- last_seq at the last of them, which was killed_owner. alone_at: when it may be resumed alone.
alter table continuum_runs
    add column engine_deaths integer not null default 0,
    add column deaths_seq bigint,
    add column killed_owner text,
    add column alone_at timestamptz;
