"""An attempt that has not begun consumes nothing, whichever processes of its node die (A16)."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

import pytest

from continuum.model.events import Failure
from continuum.node import beginnings as files
from continuum.node.beginnings import FOLDER, HOST, FileBeginnings, FileRegister, Life
from continuum.ports.journal import Lease
from continuum.wire.messages import Key
from tests.unit.engine_house import OWNER, RUN, House, careful, chain

KEY: Key = (b"r" * 16, 5, 1)


@pytest.fixture
def house() -> House:
    return House()


def taken_over(house: House, crew: str) -> None:
    """The run comes back, loaded from its journal, to an engine of this crew, whose workers have nothing."""
    house.engine.peer_up("worker-1", house.worker.post.incarnation, crew)
    run = house.engine._runs[RUN.bytes]
    house.engine._attempts.placement.worker_down(house.worker.peer)
    house.engine._drop(run)
    claimed = house.stage.store.dispatch.claim(OWNER, 10)
    assert claimed == []
    house.engine._loading.want(Lease(RUN, run.lease.token))
    house.settle()


def rows(house: House) -> list[tuple[int, int]]:
    claimer = house.stage.owner("dispatcher", incarnation="c-1")
    tasks = house.stage.store.dispatch.claim_tasks(claimer, ["default"], 10)
    return [(task.seq, task.attempt) for task in tasks]


@pytest.mark.rule("A16", "A5")
def test_of_a_dead_workers_attempts_only_those_that_had_begun_are_lost(house: House) -> None:
    house.start(careful, number=1)
    house.start(careful, number=2)
    begun, queued = house.executes()
    house.stage.beginnings.of[house.worker.post.incarnation] = {begun.key}
    house.stage.kill("worker-1")
    house.worker = house.stage.extra("worker-2", "b-3")
    house.says_ready(house.worker, 10)
    again = house.executes()
    assert again == [queued]
    house.finish(queued, 7)
    assert house.result(UUID(bytes=begun.run)) == ["attempts_exhausted", 1]
    assert house.result(UUID(bytes=queued.run)) == 7


@pytest.mark.rule("A16", "A5")
def test_what_a_former_life_of_the_node_had_not_begun_is_let_out_by_a_row(house: House) -> None:
    house.start(careful)
    house.executes()
    house.stage.beginnings.of["b"] = set()
    taken_over(house, "c:0")
    assert house.types() == ["activity_scheduled"]
    assert rows(house) == [(1, 1)]


@pytest.mark.rule("A16", "A5")
def test_what_a_former_life_had_begun_or_may_have_is_lost(house: House) -> None:
    house.start(careful)
    (task,) = house.executes()
    house.stage.beginnings.of["b"] = {task.key}
    taken_over(house, "c:0")
    assert house.result() == ["attempts_exhausted", 1]


@pytest.mark.rule("A16", "A5")
def test_what_nobody_can_know_counts_as_begun(house: House) -> None:
    house.start(careful)
    house.executes()
    taken_over(house, "c:0")
    assert house.result() == ["attempts_exhausted", 1]


@pytest.mark.rule("A16")
def test_after_the_death_of_another_worker_an_unbegun_attempt_of_a_dead_engine_goes_out_again(
    house: House,
) -> None:
    house.start(careful)
    (task,) = house.executes()
    house.stage.beginnings.of["b"] = set()
    taken_over(house, "b:1")
    house.engine.peer_up("worker-1", house.worker.post.incarnation, "b:1")
    house.says_ready(house.worker, 10)
    assert house.executes() == [task]


@pytest.mark.rule("A16", "A3")
def test_a_back_off_that_is_not_over_has_not_begun_whoever_looks(house: House) -> None:
    house.start(chain, 1)
    (task,) = house.executes()
    house.fail(task, Failure("ValueError", "no"))
    house.advance(0.2)
    taken_over(house, "c:0")
    assert house.types() == ["activity_scheduled", "activity_retried"]
    assert rows(house) == [], "the rest of its back-off is ahead"
    house.stage.clock.now += 0.9
    assert rows(house) == [(1, 2)]


@pytest.mark.rule("A16", "A5")
def test_a_back_off_that_is_over_may_have_ended_in_a_beginning(house: House) -> None:
    house.start(chain, 1)
    (task,) = house.executes()
    house.fail(task, Failure("ValueError", "no"))
    house.advance(1.2)
    (second,) = house.executes()
    assert second.attempt == 2
    taken_over(house, "c:0")
    assert house.types()[-1] == "activity_retried" and house.types().count("activity_retried") == 2


class Place:
    """A place of run directories, with lives in it."""

    def __init__(self, path: Path, boot: str = "b") -> None:
        self.path = path
        self.life = Life.begin(path, boot)

    def register(self, incarnation: str) -> FileRegister:
        register = FileRegister.open(self.path, incarnation)
        assert register is not None
        return register


@pytest.mark.rule("A16")
def test_the_notes_of_a_worker_outlive_it_and_the_node(tmp_path: Path) -> None:
    place = Place(tmp_path)
    first, second = place.register("b-4"), place.register("b-5")
    first.note(first.free.popleft(), KEY)
    second.free.popleft()
    reader = FileBeginnings(tmp_path, "c")
    assert reader.begun("b") == {KEY}
    assert reader.begun("elsewhere") is None
    here = FileBeginnings(tmp_path, "b")
    assert (here.begun("b", "b-4"), here.begun("b", "b-5")) == ({KEY}, set())


@pytest.mark.rule("A16", "A5")
def test_notes_of_another_life_of_the_host_are_not_believed(tmp_path: Path) -> None:
    Place(tmp_path).register("b-4")
    (tmp_path / FOLDER / "b" / HOST).write_text("another\n")
    assert FileBeginnings(tmp_path, "c").begun("b") is None


@pytest.mark.rule("A16")
def test_a_register_grows_with_what_is_open_and_says_so_if_it_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register = Place(tmp_path).register("b-4")
    keys = {(b"r" * 16, seq, 1) for seq in range(1, 601)}
    for key in sorted(keys):
        register.note(register.free.popleft() if register.free else register.more(), key)
    assert FileBeginnings(tmp_path, "c").begun("b") == keys

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    register.free.clear()
    assert register.more() == 0
    assert FileBeginnings(tmp_path, "c").begun("b") is None


def test_a_worker_that_cannot_note_makes_its_life_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path)
    place.register("b-4")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert FileRegister.open(tmp_path, "b-5") is None
    assert FileBeginnings(tmp_path, "c").begun("b") is None


def test_only_the_last_lives_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LIVES_MAX", 3)
    for number in range(6):
        Place(tmp_path, f"b{number}").life.close()
    assert len(list((tmp_path / FOLDER).iterdir())) == 4
