"""Rows for tables of a size at which a plan shows, and what the tables look like when work has come and gone."""

from __future__ import annotations

from typing import LiteralString

FILL: tuple[LiteralString, ...] = (
    # Nine in ten have ended; of the others most rest, and few are due or held by live and dead owners.
    """
    insert into continuum_runs (id, workflow, state, namespace, attributes, args, correlation_id, created_at,
        completed_at, due_at, lease_owner, lease_token, parent_run_id, end_awaited)
    select md5(n::text)::uuid, 'flow', case when n % 10 > 0 then 'completed' else 'suspended' end, 'space' || n % 100,
        '{}', '\\x90', md5(n::text)::uuid, now() - n * interval '1 second', case when n % 10 > 0 then now() end,
        case when n % 200 = 10 then now() - interval '1 second' end,
        case when n % 200 = 20 then 'owner-' || n / 200 % 20 end, case when n % 200 = 20 then n end,
        case when n % 50 = 7 then md5((n + 3)::text)::uuid end, n % 1000 = 7
    from generate_series(1, 100000) as n
    """,
    """
    insert into continuum_events (run_id, seq, kind, payload, inserted_at)
    select md5(n::text)::uuid, seq, 1, '\\x90', now() from generate_series(1, 100000) as n, generate_series(1, 2) as seq
    """,
    """
    insert into continuum_signals (run_id, name, payload, delivery_id, consumed)
    select md5((n * 10)::text)::uuid, 'go', '\\x90', 'd', n % 100 > 0 from generate_series(1, 100000 / 10) as n
    """,
    """
    insert into continuum_timers (run_id, seq, fires_at)
    select md5((n * 10)::text)::uuid, 1, now() + n * interval '1 second' from generate_series(1, 100000 / 10) as n
    """,
    """
    insert into continuum_activity_tasks (run_id, seq, attempt, activity, args, queue, state, due_at, claimed_by)
    select md5((n * 10)::text)::uuid, 1, 1, 'work', '\\x90', 'default',
        case n % 50 when 0 then 'done' when 1 then 'running' else 'queued' end, now() + n * interval '1 second',
        case when n % 50 < 2 then 'owner-' || n / 50 % 20 end
    from generate_series(1, 100000 / 10) as n
    """,
    """
    insert into continuum_activity_results (activity, key, payload, run_id, seq)
    select 'work', n::text, '\\x90', md5(n::text)::uuid, 1 from generate_series(1, 100000 / 10) as n
    """,
    """
    insert into continuum_snapshots (run_id, upto_seq, format, version_hash, data)
    select md5((n * 10)::text)::uuid, 1, 1, 'v', '\\x90' from generate_series(1, 100000 / 100) as n
    """,
    """
    insert into continuum_owners (owner, node, address, expires_at)
    select 'owner-' || n, 'node', '', now() + case when n = 0 then -1 else 1 end * interval '1 hour'
    from generate_series(0, 19) as n
    """,
)

# As if there was nothing to do when the tables were analyzed: nobody holds a run or has children, nothing is due, and
# pages that signals, timers and tasks have been in are known to be empty.
REST: tuple[LiteralString, ...] = (
    """
    update continuum_runs
    set due_at = null, lease_owner = null, lease_token = null, parent_run_id = null, end_awaited = false
    """,
    *(f"delete from continuum_{name}" for name in ("signals", "timers", "activity_tasks", "snapshots")),
)
