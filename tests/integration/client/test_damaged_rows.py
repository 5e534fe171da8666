"""One damaged row is shown with its damage, and hides none of the others."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from continuum import AsyncClient, Client, PayloadError, RunFailedError, call
from continuum.model.events import ChildStarted, to_row
from tests.integration.commands import Commands

JUNK = b"\xc1\xff\x00junk"


def spoil(url: str, schema: str, run_id: UUID, **values: object) -> None:
    """Write what no version of ours has written."""
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(value)) for name, value in values.items()
    )
    with psycopg.connect(url) as connection:
        connection.execute(
            sql.SQL("update {} set {} where id = {}").format(
                sql.Identifier(schema, "continuum_runs"), assignments, sql.Literal(run_id)
            )
        )


@pytest.fixture
def damaged(client: Client, database_url: str, schema: str) -> dict[str, UUID]:
    """Runs by what is damaged in them; of one, nothing is."""
    runs = {name: client.start(call("shop.checkout", name), id=name).id for name in ("whole", *_DAMAGE)}
    for name, values in _DAMAGE.items():
        spoil(database_url, schema, runs[name], **values)
    return runs


_DAMAGE: dict[str, dict[str, object]] = {
    "result": {"state": "completed", "result": JUNK, "completed_at": "now"},
    "args": {"args": JUNK},
    "attributes": {"attributes": "[1]"},
    "error": {"state": "failed", "error": JUNK, "completed_at": "now"},
    "completed_at": {"state": "completed", "completed_at": "infinity"},
}


def test_a_query_shows_every_run_and_says_what_is_damaged(client: Client, damaged: dict[str, UUID]) -> None:
    runs = {run.key: run for run in client.query().runs}
    assert set(runs) == {"whole", *_DAMAGE}
    assert runs["whole"].damaged == {}
    assert runs["whole"].args == [["whole"], {}]
    for name in ("result", "args", "attributes"):
        assert set(runs[name].damaged) == {name}
        assert client.get_run(damaged[name]) == runs[name]
    assert "not a payload" in runs["result"].damaged["result"]
    assert runs["args"].args is None
    assert runs["attributes"].attributes == {}
    error = runs["error"].error
    assert error is not None
    assert error["type"] == "continuum.DamagedFailure"


def test_an_asyncio_client_sees_the_same(
    client: Client, damaged: dict[str, UUID], database_url: str, instance: str
) -> None:
    async def look() -> object:
        async with AsyncClient(database_url, instance=instance) as other:
            return (await other.query()).runs

    assert asyncio.run(look()) == client.query().runs


def test_who_waits_for_a_damaged_result_is_told_so_and_nobody_else(
    client: Client, damaged: dict[str, UUID]
) -> None:
    with pytest.raises(PayloadError, match=r"result: not a payload"):
        client.result(damaged["result"], timeout=30)
    with pytest.raises(RunFailedError, match="not readable"):
        client.result(damaged["error"], timeout=30)
    assert client.result(damaged["completed_at"], timeout=30) is None


def test_the_command_line_lists_and_shows_damaged_runs(
    damaged: dict[str, UUID], database_url: str, instance: str, tmp_path: Path
) -> None:
    continuum = Commands(tmp_path, database_url, instance)
    listed = continuum("run", "list", "--json")
    assert {run["key"] for run in listed.document["runs"]} == {"whole", *_DAMAGE}
    assert {run["key"]: run["damaged"] for run in listed.document["runs"]}["whole"] == {}
    shown = continuum("run", "show", "result")
    assert shown.code == 0, shown
    assert "damaged" in shown.out and "result: not a payload" in shown.out
    assert continuum("run", "show", "args").code == 0
    document = continuum("run", "history", "args", "--json").document
    assert "not a payload" in document["args"]["unreadable"]


def test_damaged_events_are_shown_among_the_others(
    client: Client, damaged: dict[str, UUID], database_url: str, instance: str, schema: str, tmp_path: Path
) -> None:
    row = to_row(1, ChildStarted("shop.child", b"short", "hash", True, "here"))
    with psycopg.connect(database_url) as connection:
        for seq, kind, body in (
            (1, row.kind, row.payload),
            (2, 2, JUNK),
            (3, 250, JUNK),
            (4, row.kind, JUNK),
        ):
            connection.execute(
                sql.SQL("insert into {} (run_id, seq, kind, payload) values (%s, %s, %s, %s)").format(
                    sql.Identifier(schema, "continuum_events")
                ),
                (damaged["whole"], seq, kind, body),
            )
    events = client.history(damaged["whole"])
    assert [event.seq for event in events] == [1, 2, 3, 4]
    assert events[0].data["child"] == b"short"
    assert all("unreadable" in event.data for event in events[1:])
    shown = Commands(tmp_path, database_url, instance)("run", "show", "whole")
    assert shown.code == 0, shown
    assert "child shop.child" in shown.out
