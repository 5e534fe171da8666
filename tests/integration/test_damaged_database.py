"""A node on a real database of which rows were damaged by hand: whatever it meets, the other runs end."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from continuum.client import Client
from continuum.core.definitions import activity, workflow
from continuum.core.effects import Signal, side_effect
from continuum.postgres import migrate
from continuum.testing.database import node_on
from tests.integration.servers import wait_until

SUSPECTS, CANARIES = 40, 10
go = Signal("go", int)


@activity
def twice(number: int) -> int:
    return 2 * number


@workflow(snapshot_every=4)
async def journey(number: int) -> list[object]:
    first = side_effect(lambda: number)
    legs = [await twice(leg) for leg in range(4)]
    return [first, *legs, await go.wait()]


@pytest.fixture
def connection(database_url: str, fresh_schema: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    migrate(database_url, fresh_schema)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("set search_path = {}").format(sql.Identifier(fresh_schema)))
        yield connection


def junk(data: bytes, random: Random) -> bytes:
    at = random.randrange(len(data)) if data else 0
    return random.choice(
        [
            data[:at],
            data[:at] + random.randbytes(3) + data[at + 3 :],
            data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :] if data else b"\xc1",
            b"",
            random.randbytes(20),
        ]
    )


def damage(connection: psycopg.Connection[tuple[object, ...]], run_id: UUID, random: Random) -> None:
    """Change one thing of a run that rests."""
    match random.randrange(9):
        case 0 | 1 | 2:
            row = connection.execute(
                "select seq, payload from continuum_events where run_id = %s order by random() limit 1",
                [run_id],
            ).fetchone()
            assert row is not None
            data = junk(bytes(row[1]), random)  # type: ignore[call-overload]
            connection.execute(
                "update continuum_events set payload = %s where run_id = %s and seq = %s",
                [data, run_id, row[0]],
            )
        case 3:
            connection.execute("delete from continuum_events where run_id = %s and seq = 3", [run_id])
        case 4:
            kind = random.choice([-1, 0, 3, 14, 19, 99, 999])
            connection.execute(
                "update continuum_events set kind = %s where run_id = %s and seq = 4", [kind, run_id]
            )
        case 5:
            statement = random.choice(
                [
                    "update continuum_runs set args = '\\xc1' where id = %s",
                    "update continuum_runs set created_at = 'infinity' where id = %s",
                    "update continuum_runs set last_seq = last_seq + 7 where id = %s",
                    "update continuum_runs set depth = -3, parent_run_id = gen_random_uuid() where id = %s",
                    "update continuum_runs set attributes = '[1, {}]' where id = %s",
                    "update continuum_runs set version_hash = '' where id = %s",
                ]
            )
            connection.execute(statement, [run_id])
        case 6:
            connection.execute(
                "update continuum_snapshots set data = substr(data, 1, length(data) / 2) where run_id = %s",
                [run_id],
            )
            connection.execute(
                "update continuum_snapshots set upto_seq = upto_seq + 1 where run_id = %s", [run_id]
            )
        case 7:
            connection.execute(
                "insert into continuum_timers values (%s, 999, '-infinity'), (%s, -1, now())",
                [run_id, run_id],
            )
            connection.execute(
                "insert into continuum_signals (run_id, name, payload) values (%s, 'go', '\\xff')", [run_id]
            )
        case _:
            connection.execute(
                "insert into continuum_activity_tasks (run_id, seq, attempt, activity, args, queue, state, due_at,"
                " timeout_s, ok) values (%s, 2, -5, 'nobody', '\\xc1', 'default', 'queued', '-infinity', 'NaN', null),"
                " (%s, 4, 1, '', '', 'default', 'done', now(), 'infinity', true)",
                [run_id, run_id],
            )


@pytest.mark.rule("B4", "P3")
def test_a_database_with_damaged_runs_stops_no_other_run_and_no_process(
    connection: psycopg.Connection[tuple[object, ...]], database_url: str, fresh_schema: str
) -> None:
    random = Random(3)
    instance = fresh_schema.removeprefix("continuum_")
    with Client(database_url, instance=instance) as client:
        with node_on(database_url, fresh_schema):
            runs = [client.start(journey(number)) for number in range(SUSPECTS + CANARIES)]
            waiting = "select count(*) from continuum_events where kind = 6"
            wait_until(lambda: connection.execute(waiting).fetchone() == (len(runs),), "all runs wait")
        suspects, canaries = runs[:SUSPECTS], runs[SUSPECTS:]
        for run in suspects:
            damage(connection, run.id, random)
        with node_on(database_url, fresh_schema):
            for run in (*suspects, *canaries):
                client.signal(run.id, go, 7)
            assert [run.result(timeout=60) for run in canaries] == [
                [number, 0, 2, 4, 6, 7] for number in range(SUSPECTS, SUSPECTS + CANARIES)
            ]
            told = "select count(*) from continuum_runs where attention is null and completed_at is null"
            wait_until(
                lambda: connection.execute(told).fetchone() == (0,), "every other is parked with a reason"
            )
            assert client.start(journey(1)).id is not None
