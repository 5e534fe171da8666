"""Waiting for results: who looks, and who knows that there is nothing to look at yet."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from uuid import UUID, uuid4

import pytest

from continuum.client import waiting
from continuum.client.waiting import Waiters
from continuum.errors import JournalError
from continuum.ports.catalog import Ending

LIMIT_S = 30.0


class Ears:
    """An open LISTEN that hears what the test says."""

    def __init__(self) -> None:
        self._said: queue.SimpleQueue[list[UUID] | JournalError] = queue.SimpleQueue()

    def say(self, *ended: UUID) -> None:
        self._said.put(list(ended))

    def break_off(self) -> None:
        self._said.put(JournalError("listen", "the connection is lost"))

    def wait(self, timeout_s: float) -> Sequence[UUID]:
        said = self._said.get(timeout=LIMIT_S)
        if isinstance(said, JournalError):
            raise said
        return said

    def interrupt(self) -> None:
        self.say()

    def close(self) -> None:
        pass


class Scene:
    """Waiters, the runs that have ended, and every look at runs."""

    def __init__(self) -> None:
        self.ended: set[UUID] = set()
        self.looks: queue.SimpleQueue[list[UUID]] = queue.SimpleQueue()
        self.ears: queue.SimpleQueue[Ears] = queue.SimpleQueue()
        self.waiters = Waiters(self.look, self.listen)

    def look(self, run_ids: Sequence[UUID], *, spare: bool) -> Mapping[UUID, Ending]:
        self.looks.put(list(run_ids))
        states = {run_id: "completed" if run_id in self.ended else "running" for run_id in run_ids}
        return {run_id: Ending(run_id, state, b"", None) for run_id, state in states.items()}  # type: ignore[arg-type]

    def listen(self) -> Ears:
        ears = Ears()
        self.ears.put(ears)
        return ears

    def result(self, run_id: UUID) -> Future[Ending]:
        future = self.waiters.add(run_id)
        self.waiters.look_first(run_id)
        return future

    def end(self, run_id: UUID, ears: Ears) -> None:
        self.ended.add(run_id)
        ears.say(run_id)

    def begin(self) -> Ears:
        """Wait for a first run, to its end: from now on there is a listener."""
        run_id = uuid4()
        first = self.result(run_id)
        ears = self.ears.get(timeout=LIMIT_S)
        self.end(run_id, ears)
        assert first.result(LIMIT_S).state == "completed"
        self.forget_looks()
        return ears

    def forget_looks(self) -> None:
        while not self.looks.empty():
            self.looks.get()

    def looked(self) -> list[UUID]:
        return self.looks.get(timeout=LIMIT_S)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(waiting, "SCAN_INTERVAL_S", 3600.0)  # nothing is found by a scan
    scene = Scene()
    yield scene
    scene.waiters.close()


@pytest.mark.rule("W2")
def test_a_run_that_was_started_while_the_client_listened_is_looked_at_when_it_has_ended(
    scene: Scene,
) -> None:
    ears, run_id = scene.begin(), uuid4()
    scene.waiters.expect([run_id])
    future = scene.result(run_id)
    assert scene.looks.empty() and not future.done()
    scene.end(run_id, ears)
    assert future.result(LIMIT_S).run_id == run_id
    assert scene.looked() == [run_id]
    assert scene.looks.empty()


@pytest.mark.rule("W2")
def test_an_end_that_was_heard_before_anybody_waited_is_looked_at_first(scene: Scene) -> None:
    ears, run_id, marker = scene.begin(), uuid4(), uuid4()
    scene.waiters.expect([run_id])
    scene.end(run_id, ears)
    after = scene.result(marker)  # heard after the other: what comes later is not before it
    scene.end(marker, ears)
    after.result(LIMIT_S)
    assert scene.result(run_id).result(LIMIT_S).run_id == run_id


@pytest.mark.rule("W2")
def test_a_run_that_was_started_before_the_client_listened_is_looked_at_first(scene: Scene) -> None:
    run_id = uuid4()
    scene.waiters.expect([run_id])
    scene.ended.add(run_id)
    assert scene.result(run_id).result(LIMIT_S).run_id == run_id


@pytest.mark.rule("W2")
def test_nothing_is_sure_to_be_heard_once_the_listener_was_lost(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    ears, run_id = scene.begin(), uuid4()
    scene.waiters.expect([run_id])
    scene.ended.add(run_id)
    monkeypatch.setattr(waiting, "SCAN_INTERVAL_S", 0.01)  # the pause before the listener is dialled again
    ears.break_off()
    scene.ears.get(timeout=LIMIT_S)
    assert scene.result(run_id).result(LIMIT_S).run_id == run_id
