-- Purpose. Results that are kept by idempotency key for every run, and the heartbeats of attempts in task rows.
-- A kept result outlives its run: nothing deletes it but a person.

create table continuum_activity_results (
    activity text not null,
    key text not null,
    payload bytea not null,
    run_id uuid not null,
    seq bigint not null,
    created_at timestamptz not null default now(),
    primary key (activity, key)
);

alter table continuum_activity_tasks
    add column heartbeat_timeout_s double precision,
    add column last_heartbeat bytea,
    add column heartbeat bytea;
