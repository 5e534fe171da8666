"""A step that is alone in its batch has statements of its own: they leave what those of a batch leave."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
import pytest

from continuum.model.run import RunState
from continuum.ports.journal import Lease, RunCommit
from continuum.ports.offload import CommitWork
from continuum.postgres import Listener, PostgresStore, open_poster, request
from continuum.postgres.notices import ends_of
from tests.integration.conformance.scene import (
    ENDED,
    OTHER,
    OWNER,
    Rows,
    Scene,
    completed,
    due_timer,
    far_timer,
    step,
    task,
)
from tests.integration.conformance.test_posted import answer

LIMIT_S = 30.0
TABLES = ("runs", "events", "signals", "timers", "activity_tasks", "snapshots")
OF_A_RUN = {
    "id",
    "run_id",
    "correlation_id",
    "parent_run_id",
    "lease_token",
}  # what no two runs have in common
Commit = Callable[[RunCommit, bool], set[UUID]]


@pytest.fixture(params=["waiting", "posted"])
def commit(
    request: pytest.FixtureRequest, database_url: str, fresh_schema: str, store: PostgresStore
) -> Iterator[Commit]:
    """Commit one step, and announce its end or not; by either way that the request goes."""
    if request.param == "waiting":
        yield lambda step, announce: set(store.journal.commit([step], announce))
        return
    with closing(open_poster(database_url, fresh_schema)) as poster:
        poster.open()

        def post(step: RunCommit, announce: bool) -> set[UUID]:
            assert poster.post(CommitWork([step], announce))
            written: set[UUID] = set(answer(poster))
            return written

        yield post


@pytest.fixture
def listener(database_url: str, fresh_schema: str, store: PostgresStore) -> Iterator[Listener]:
    with closing(Listener(database_url, fresh_schema, ("done",))) as listener:
        listener.reconnect()
        yield listener


@dataclass(frozen=True)
class Written:
    """A step: what it adds and says, of a run whose last step was ``base_seq``."""

    count: int = 1
    state: RunState = "running"
    base_seq: int = 0
    token_ahead: int = 0
    version_hash: str | None = None
    result: bytes | None = None
    error: bytes | None = None

    def of(self, lease: Lease) -> RunCommit:
        made = step(
            Lease(lease.run_id, lease.token + self.token_ahead),
            self.base_seq,
            self.count,
            self.state,
            is_child=False,
        )
        made.version_hash, made.result, made.error = self.version_hash, self.result, self.error
        return made


LIVE = [
    Written(count=count, state=state, version_hash=version_hash)
    for count in range(4)
    for state in ("running", "suspended")
    for version_hash in (None, "of-this-code")
]
LAST = [
    *(Written(count=count, state="completed", result=b"value") for count in range(4)),
    *(Written(state=state, error=None if state == "completed" else b"why") for state in ENDED),
    Written(state="failed", error=b"why", version_hash="of-this-code"),
    Written(state="completed", result=b""),
]
STALE = [
    Written(token_ahead=1),
    Written(base_seq=3),
    Written(state="completed", result=b"value", token_ahead=-1),
    Written(state="failed", error=b"why", base_seq=3),
]


def rows_of(store: PostgresStore, lease: Lease) -> dict[str, list[dict[str, Any]]]:
    """All that the database has of a run, but for what no two runs have in common; of moments whether they are set."""
    rows = {}
    with store.session.guarded("look") as connection:
        for table in TABLES:
            key = "id" if table == "runs" else "run_id"
            order = "id" if table in ("runs", "signals") else key if table == "snapshots" else "seq"
            cursor = connection.execute(
                f"select * from continuum_{table} where {key} = %s order by {order}".encode(), [lease.run_id]
            )
            assert cursor.description is not None
            names = [column.name for column in cursor.description]
            rows[table] = [_comparable(dict(zip(names, row, strict=True)), lease) for row in cursor]
    return rows


def _comparable(row: dict[str, Any], lease: Lease) -> dict[str, Any]:
    row["leased"] = row.get("lease_token") == lease.token
    moments = {name: value is not None for name, value in row.items() if name.endswith("_at")}
    return {name: value for name, value in (row | moments).items() if name not in OF_A_RUN}


def with_mail(scene: Scene) -> Lease:
    """A leased run with timers, tasks, an outcome, and signals of either kind."""
    lease = scene.leased(timers_set=(due_timer(1), far_timer(2)), tasks_set=(task(3), task(4)))
    scene.signal(lease.run_id, "approved", "paid")
    scene.catalog.signal(lease.run_id, "delivered", b"", "delivery")
    scene.dispatch.offer_outcomes([completed(lease, 3)])
    return lease


@pytest.mark.parametrize("written", [*LIVE, *LAST, *STALE], ids=repr)
def test_a_step_leaves_the_same_rows_alone_and_in_a_batch(
    store: PostgresStore, scene: Scene, commit: Commit, written: Written
) -> None:
    alone, together, other = with_mail(scene), with_mail(scene), scene.leased()
    before = rows_of(store, alone)
    refused = written in STALE
    assert commit(written.of(alone), False) == (set() if refused else {alone.run_id})
    answered = store.journal.commit([written.of(together), step(other, 0, 1, is_child=False)])
    assert answered == ({other.run_id} if refused else {together.run_id, other.run_id})
    assert rows_of(store, alone) == rows_of(store, together)
    assert (rows_of(store, alone) == before) == refused or written == Written(count=0)


@pytest.mark.rule("R6")
@pytest.mark.parametrize("written", [Written(), Written(count=2), *LAST[1:5]], ids=repr)
def test_a_step_that_is_asked_for_again_alone_is_written_once(
    store: PostgresStore, scene: Scene, commit: Commit, written: Written
) -> None:
    lease = with_mail(scene)
    assert commit(written.of(lease), False) == {lease.run_id}
    after = rows_of(store, lease)
    assert commit(written.of(lease), False) == set()
    assert rows_of(store, lease) == after


@pytest.mark.rule("L1")
def test_the_refused_end_of_a_run_removes_nothing_from_its_new_owner(
    store: PostgresStore, scene: Scene, commit: Commit
) -> None:
    stale = with_mail(scene)
    scene.dispatch.retire([OWNER])
    (lease,) = scene.claim(OTHER)
    before = rows_of(store, lease)
    assert commit(Written(state="completed").of(stale), True) == set()
    assert rows_of(store, lease) == before


MAIL: list[Rows] = [
    {"timers_set": (far_timer(7),), "timers_cleared": (1,)},
    {"tasks_cleared": (3,)},
    {"signals_consumed": (1, 2, 3)},  # in the mail's order
]


@pytest.mark.parametrize("state", ["running", "completed"])
@pytest.mark.parametrize("rows", MAIL, ids="+".join)
def test_a_step_with_other_rows_leaves_the_same_alone_and_in_a_batch(
    store: PostgresStore, scene: Scene, commit: Commit, rows: Rows, state: RunState
) -> None:
    alone, together, other = with_mail(scene), with_mail(scene), scene.leased()

    def made(lease: Lease) -> RunCommit:
        given = step(lease, 0, 1, state, **rows)
        given.is_child = False
        if given.signals_consumed:
            given.signals_consumed = [signal.id for signal in scene.mail(lease).signals]
        return given

    assert commit(made(alone), False) == {alone.run_id}
    assert store.journal.commit([made(together), step(other, is_child=False)]) == {
        together.run_id,
        other.run_id,
    }
    left = rows_of(store, alone)
    assert left == rows_of(store, together)
    if state == "completed":
        assert [table for table in TABLES if left[table]] == ["runs", "events"]


def test_a_child_goes_on_alone_as_in_a_batch(store: PostgresStore, scene: Scene, commit: Commit) -> None:
    parent = scene.leased()
    alone, together = scene.child(parent), scene.child(parent)
    assert commit(step(alone, 0, 2), False) == {alone.run_id}
    assert store.journal.commit([step(together, 0, 2), step(parent, 2, 1)]) == {
        together.run_id,
        parent.run_id,
    }
    rows = [rows_of(store, child) for child in (alone, together)]
    for row in (*rows[0]["runs"], *rows[1]["runs"]):
        del row["parent_command"]
    assert rows[0] == rows[1]


def test_the_end_of_a_run_alone_takes_its_childrens_ends_out_of_the_mail(
    store: PostgresStore, scene: Scene, commit: Commit
) -> None:
    parent = scene.leased()
    child = scene.child(parent)
    scene.end(child)
    assert rows_of(store, child)["runs"][0]["end_awaited"]
    assert commit(step(parent, 1, 1, "completed", is_child=False), False) == {parent.run_id}
    assert not rows_of(store, child)["runs"][0]["end_awaited"]


def test_the_end_of_a_bare_run_takes_its_unread_signals_and_a_refused_end_does_not(
    store: PostgresStore, scene: Scene, commit: Commit
) -> None:
    lease = scene.leased()
    scene.catalog.signal(lease.run_id, "unread", b"", "once")
    end = msgspec.structs.replace(Written(state="completed").of(lease), is_bare=True)
    assert commit(msgspec.structs.replace(end, token=lease.token - 1), False) == set()
    assert [row["name"] for row in rows_of(store, lease)["signals"]] == ["unread"]
    assert commit(end, False) == {lease.run_id}
    left = rows_of(store, lease)
    assert [table for table in TABLES if left[table]] == ["runs", "events"]


def heard(listener: Listener, last: UUID) -> list[UUID]:
    """The runs that are said to have ended, up to ``last``."""
    runs: list[UUID] = []
    deadline = time.monotonic() + LIMIT_S
    while last not in runs:
        assert time.monotonic() < deadline, f"only {runs} ended"
        select.select([listener], [], [], 0.1)
        for payload in listener.payloads():
            runs += [UUID(int=number) for number in ends_of(payload)]
    return runs


def test_an_end_is_announced_if_it_was_written_and_shall_be(
    store: PostgresStore, scene: Scene, commit: Commit, listener: Listener
) -> None:
    silent, stale, told = scene.leased(), scene.leased(), scene.leased()
    commit(Written(state="completed").of(silent), False)
    commit(Written().of(stale), True)
    commit(Written(state="completed").of(stale), True)
    commit(Written(state="completed", count=0).of(told), True)
    assert heard(listener, told.run_id) == [told.run_id]


def test_a_step_that_is_alone_needs_no_statement_of_a_batch(store: PostgresStore, scene: Scene) -> None:
    names = {
        (len(made.events), made.state): [name for name, _ in asked.steps]
        for made in (written.of(scene.leased()) for written in (*LIVE, *LAST))
        if (asked := request.commit_request([made], True)) is not None
    }
    assert names[1, "running"] == names[0, "suspended"] == names[2, "running"] == ["commit_one"]
    assert names[1, "completed"] == names[0, "completed"] == names[1, "failed"] == ["end_one", "clear_ended"]
    assert names[3, "completed"] == ["commit_events", "clear_ended", "notify_ended"], (
        "more than there is room for"
    )


def test_where_the_channel_of_outcomes_is_missing_runs_end_all_the_same(
    store: PostgresStore, scene: Scene, commit: Commit
) -> None:
    store.session.open().execute("delete from continuum_channels")
    told = scene.leased()
    assert commit(Written(state="completed", count=0).of(told), True) == {told.run_id}
    assert rows_of(store, told)["runs"][0]["state"] == "completed"
