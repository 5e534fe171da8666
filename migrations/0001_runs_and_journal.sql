-- Purpose. The first schema: runs, their journals and mailboxes, timers, tasks, owners.
-- Names are not qualified: the schema is the one that the session's search_path names (an instance is a schema).

create sequence continuum_lease_token_seq;

-- An ordinary step changes last_seq and state only, which no index mentions, neither as a column nor in its
-- condition: such updates stay in their page (HOT), for which the fill factor leaves room.
-- A run that has ended has neither lease_owner nor due_at, and so is in no index that claims read.
create table continuum_runs (
    id uuid primary key,
    key text,
    workflow text not null,
    version_hash text,
    state text not null,
    namespace text not null,
    attributes jsonb not null,
    args bytea not null,
    result bytea,
    error bytea,
    parent_run_id uuid,
    correlation_id uuid not null,
    continued_from_run_id uuid,
    continued_to_run_id uuid,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    completed_at timestamptz,
    due_at timestamptz,
    lease_owner text,
    lease_token bigint,
    previous_owner text,
    last_seq bigint not null default 0,
    attention text
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

create index continuum_runs_due on continuum_runs (due_at, id)
    where lease_owner is null and due_at is not null;
create index continuum_runs_leased on continuum_runs (lease_owner, lease_token) where lease_owner is not null;
create index continuum_runs_listed on continuum_runs (namespace, created_at, id);
create index continuum_runs_attributes on continuum_runs using gin (attributes jsonb_path_ops)
    where attributes <> '{}'::jsonb;

create table continuum_events (
    run_id uuid not null,
    seq bigint not null,
    kind smallint not null,
    payload bytea not null,
    inserted_at timestamptz not null default now(),
    primary key (run_id, seq, inserted_at)
) partition by range (inserted_at);

-- Rows of a month that nobody made a partition for: a missing month never rejects a write.
create table continuum_events_default partition of continuum_events default;

-- Consumed signals without a delivery id are deleted; those with one stay, empty, until the run ends, so that the
-- same delivery is known again.
create table continuum_signals (
    id bigint generated always as identity primary key,
    run_id uuid not null,
    name text not null,
    payload bytea not null,
    delivery_id text,
    consumed boolean not null default false,
    inserted_at timestamptz not null default now()
);

create index continuum_signals_unread on continuum_signals (run_id, id) where not consumed;
create unique index continuum_signals_delivery on continuum_signals (run_id, delivery_id);

create table continuum_timers (
    run_id uuid not null,
    seq bigint not null,
    fires_at timestamptz not null,
    primary key (run_id, seq)
);

create index continuum_timers_near on continuum_timers (fires_at, run_id, seq);

create table continuum_activity_tasks (
    run_id uuid not null,
    seq bigint not null,
    attempt integer not null,
    activity text not null,
    args bytea not null,
    queue text not null,
    state text not null,
    due_at timestamptz not null,
    timeout_s double precision,
    idempotency_key text,
    claimed_by text,
    worker text,
    ok boolean,
    outcome bytea,
    timed_out boolean not null default false,
    primary key (run_id, seq)
);

create index continuum_activity_tasks_queued on continuum_activity_tasks (queue, due_at, run_id, seq)
    where state = 'queued';
create index continuum_activity_tasks_running on continuum_activity_tasks (claimed_by) where state = 'running';
create index continuum_activity_tasks_done on continuum_activity_tasks (run_id) where state = 'done';

create table continuum_owners (
    owner text primary key,
    node text not null,
    address text not null,
    expires_at timestamptz not null
) with (fillfactor = 50);

create table continuum_workflow_versions (
    workflow text not null,
    version_hash text not null,
    first_loaded_at timestamptz not null default now(),
    last_loaded_at timestamptz not null default now(),
    primary key (workflow, version_hash)
);
