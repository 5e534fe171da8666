-- Purpose. Snapshots of long runs: one blob a run, that stands for the events up to upto_seq.

create table continuum_snapshots (
    run_id uuid primary key,
    upto_seq bigint not null,
    format smallint not null,
    version_hash text not null,
    data bytea not null,
    created_at timestamptz not null default now()
);
