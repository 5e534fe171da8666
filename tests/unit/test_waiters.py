"""Waiting for results: who looks, and who knows that there is nothing to look at yet."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from time import monotonic
from uuid import UUID, uuid4

import pytest

from continuum.client import waiting
from continuum.client.waiting import Waiters
from continuum.errors import ContinuumError, JournalError
from continuum.ports.catalog import Ending

LIMIT_S = 30.0


class Ears:
    """An open LISTEN that hears what the test says."""

    def __init__(self, look: Callable[[Sequence[UUID]], Mapping[UUID, Ending]]) -> None:
        self._look = look
        self._said: queue.SimpleQueue[list[int] | BaseException] = queue.SimpleQueue()
        self.listeners: queue.SimpleQueue[int] = queue.SimpleQueue()  # the threads that wait for what is said
        self.lookers: list[int] = []

    def say(self, *ended: UUID) -> None:
        self._said.put([run_id.int for run_id in ended])

    def break_off(self, error: BaseException | None = None) -> None:
        self._said.put(error or JournalError("listen", "the connection is lost"))

    def listener(self) -> int:
        """The thread that listens now, or next."""
        return self.listeners.get(timeout=LIMIT_S)

    def look(self, run_ids: Sequence[UUID]) -> Mapping[UUID, Ending]:
        self.lookers.append(threading.get_ident())
        return self._look(run_ids)

    def wait(self, timeout_s: float | None) -> Sequence[int]:
        self.listeners.put(threading.get_ident())
        try:
            said = self._said.get(timeout=LIMIT_S if timeout_s is None else min(timeout_s, LIMIT_S))
        except queue.Empty:
            return []
        if isinstance(said, BaseException):
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
        self.keeper = 0  # its thread

    def look(self, run_ids: Sequence[UUID], *, spare: bool) -> Mapping[UUID, Ending]:
        self.looks.put(list(run_ids))
        states = {run_id: "completed" if run_id in self.ended else "running" for run_id in run_ids}
        return {run_id: Ending(run_id, state, b"", None) for run_id, state in states.items()}  # type: ignore[arg-type]

    def listen(self) -> Ears:
        ears = Ears(partial(self.look, spare=False))
        self.ears.put(ears)
        return ears

    def result(self, run_id: UUID) -> Future[Ending]:
        future = Future[Ending]()
        self.waiters.add(run_id, future)
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
        self.keeper = ears.listener()  # else its first scan may find the end, and it need not listen
        self.end(run_id, ears)
        assert first.result(LIMIT_S).state == "completed"
        self.forget_looks()
        return ears

    def new_run(self) -> UUID:
        run_id = uuid4()
        self.waiters.expect([run_id])
        return run_id

    def caller(self, threads: ThreadPoolExecutor, run_id: UUID) -> Future[Ending]:
        """A thread that waits for the end of a run."""
        return threads.submit(lambda: self.waiters.end_of(run_id, monotonic() + LIMIT_S))

    def await_waits(self, count: int) -> None:
        """Wait until so many runs are waited for."""
        give_up_at = monotonic() + LIMIT_S
        while len(self.waiters._waits) < count:
            assert monotonic() < give_up_at, "they do not wait"

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
    assert scene.result(run_id).result(LIMIT_S).run_id == run_id


@pytest.mark.rule("W2")
def test_a_caller_hears_and_looks_in_its_own_thread(scene: Scene) -> None:
    ears, run_id = scene.begin(), scene.new_run()
    before = len(ears.lookers)
    scene.end(run_id, ears)
    assert scene.waiters.end_of(run_id, None).run_id == run_id
    assert ears.listener() == threading.get_ident()
    assert ears.lookers[before:] == [threading.get_ident()]


@pytest.mark.rule("W2")
def test_who_waits_beside_the_listener_is_answered_by_it(scene: Scene) -> None:
    ears, first, second = scene.begin(), scene.new_run(), scene.new_run()
    with ThreadPoolExecutor(1) as threads:
        listens = scene.caller(threads, first)
        listener = ears.listener()
        beside = scene.result(second)
        before = len(ears.lookers)
        scene.end(second, ears)
        assert beside.result(LIMIT_S).run_id == second
        assert ears.lookers[before:] == [listener] != [scene.keeper]
        assert not listens.done()
        scene.end(first, ears)
        assert listens.result(LIMIT_S).run_id == first


@pytest.mark.rule("W2")
def test_a_caller_beside_the_one_that_listens_is_answered_by_it(scene: Scene) -> None:
    ears, first, second = scene.begin(), scene.new_run(), scene.new_run()
    with ThreadPoolExecutor(2) as threads:
        listens = scene.caller(threads, first)
        ears.listener()
        beside = scene.caller(threads, second)
        scene.await_waits(2)
        scene.end(second, ears)
        assert beside.result(LIMIT_S).run_id == second
        scene.end(first, ears)
        assert listens.result(LIMIT_S).run_id == first
    assert not scene.waiters._waits, "nobody waits any more"


@pytest.mark.rule("W2")
@pytest.mark.parametrize("leaves", ["with its answer", "without one", "interrupted"])
def test_the_keeper_listens_for_others_when_a_caller_leaves(scene: Scene, leaves: str) -> None:
    ears, first, second = scene.begin(), scene.new_run(), scene.new_run()
    until = monotonic() + (0.01 if leaves == "without one" else LIMIT_S)
    with ThreadPoolExecutor(1) as threads:
        listens = threads.submit(lambda: scene.waiters.end_of(first, until))
        assert ears.listener() != scene.keeper
        beside = scene.result(second)
        if leaves == "with its answer":
            scene.end(first, ears)
            assert listens.result(LIMIT_S).run_id == first
        elif leaves == "interrupted":
            ears.break_off(KeyboardInterrupt())
            assert type(listens.exception(LIMIT_S)) is KeyboardInterrupt
        else:
            assert type(listens.exception(LIMIT_S)) is TimeoutError
        while ears.listener() != scene.keeper:
            pass  # the caller listened again, to see that its run had ended
        scene.end(second, ears)
        assert beside.result(LIMIT_S).run_id == second


@pytest.mark.rule("W2")
def test_who_listens_for_a_run_is_told_when_another_has_seen_its_end(scene: Scene) -> None:
    ears, run_id = scene.begin(), scene.new_run()
    with ThreadPoolExecutor(1) as threads:
        listens = scene.caller(threads, run_id)
        ears.listener()
        scene.ended.add(run_id)  # its notification was lost
        scene.waiters._look_aside([run_id], spare=True)
        assert listens.result(LIMIT_S).run_id == run_id


@pytest.mark.rule("W2")
def test_a_caller_whose_connection_is_lost_is_answered_by_a_look(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    ears, run_id = scene.begin(), scene.new_run()
    with ThreadPoolExecutor(1) as threads:
        listens = scene.caller(threads, run_id)
        ears.listener()
        scene.ended.add(run_id)
        monkeypatch.setattr(waiting, "SCAN_INTERVAL_S", 0.01)
        ears.break_off()
        assert listens.result(LIMIT_S).run_id == run_id
    assert scene.ears.get(timeout=LIMIT_S) is not ears


@pytest.mark.rule("W2")
def test_what_nobody_listens_to_is_read_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "SCAN_INTERVAL_S", 0.01)
    scene = Scene()
    ears = scene.begin()
    for _ in range(3):
        assert ears.listener() == scene.keeper
    scene.waiters.close()


def test_closing_ends_the_wait_of_a_caller_that_listens(scene: Scene) -> None:
    ears, run_id = scene.begin(), scene.new_run()
    with ThreadPoolExecutor(1) as threads:
        listens = scene.caller(threads, run_id)
        ears.listener()
        scene.waiters.close()
        with pytest.raises(ContinuumError, match="client was closed"):
            listens.result(LIMIT_S)


def test_a_caller_without_time_is_told_of_an_end_that_was_not_heard_yet(scene: Scene) -> None:
    scene.begin()
    run_id = scene.new_run()
    scene.ended.add(run_id)
    assert scene.waiters.end_of(run_id, monotonic()).run_id == run_id


def test_a_caller_has_its_time_and_no_more(scene: Scene) -> None:
    scene.begin()
    with pytest.raises(TimeoutError):
        scene.waiters.end_of(scene.new_run(), monotonic() + 0.01)
