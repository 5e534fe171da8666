"""Lanes: work goes to threads with desks of their own, and its end comes back."""

from __future__ import annotations

import os
import select
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from continuum.errors import JournalError
from continuum.memory import MemoryStore
from continuum.ports.offload import Completion, Desk, Lane
from continuum.runtime.lanes import ThreadOffload
from continuum.runtime.wake import Wake

LIMIT_S = 10.0


class Desks:
    """Opens desks, and remembers in which threads."""

    def __init__(self) -> None:
        store = MemoryStore(lambda: 0.0)
        self.desk = Desk(store.journal, store.dispatch)
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.refuse = False

    @contextmanager
    def open(self) -> Iterator[Desk]:
        if self.refuse:
            raise JournalError("connect", "no database")
        self.opened.append(threading.current_thread().name)
        yield self.desk
        self.closed.append(threading.current_thread().name)


@contextmanager
def lanes(desks: Desks) -> Iterator[tuple[ThreadOffload, Callable[[int], list[Completion]]]]:
    """An offload, and a function that waits for so many completions."""
    wake = Wake()
    with closing(wake), closing(ThreadOffload(desks.open, wake)) as offload:

        def take(count: int) -> list[Completion]:
            completions: list[Completion] = []
            while len(completions) < count:
                readable, _, _ = select.select([wake], [], [], LIMIT_S)
                assert readable, f"waited {LIMIT_S} s for {count} completions, got {completions}"
                wake.clear()
                completions += offload.drain()
            return completions

        yield offload, take


def test_work_gets_the_desk_and_its_value_comes_back() -> None:
    desks = Desks()
    with lanes(desks) as (offload, take):
        offload.submit(Lane.READ, 7, lambda desk: desk is desks.desk)
        assert take(1) == [Completion(7, value=True)]


class Answer:
    """What a lane's work found out; it may be large."""


def test_a_lane_that_waits_keeps_no_answer() -> None:
    with lanes(Desks()) as (offload, take):
        offload.submit(Lane.READ, 1, lambda _: Answer())
        (completion,) = take(1)
        answer = weakref.ref(completion.value)
        del completion
        assert answer() is None


def test_two_commits_run_side_by_side_and_a_heartbeat_beside_them() -> None:
    together = threading.Barrier(3)
    with lanes(Desks()) as (offload, take):
        for ticket, lane in enumerate((Lane.COMMIT, Lane.COMMIT, Lane.LEASE)):
            offload.submit(lane, ticket, lambda _: together.wait(LIMIT_S) is not None)
        assert {completion.ticket for completion in take(3)} == {0, 1, 2}


def test_reads_end_in_order() -> None:
    with lanes(Desks()) as (offload, take):
        for ticket in range(100):
            offload.submit(Lane.READ, ticket, lambda _: None)
        assert [completion.ticket for completion in take(100)] == list(range(100))


def test_a_journal_error_is_the_completions_error() -> None:
    def fail(_: Desk) -> object:
        raise JournalError("commit", "connection lost")

    with lanes(Desks()) as (offload, take):
        offload.submit(Lane.COMMIT, 1, fail)
        (completion,) = take(1)
    assert completion.error is not None
    assert completion.error.reason == "connection lost"


def test_any_other_exception_becomes_a_journal_error_and_the_lane_goes_on() -> None:
    def fail(_: Desk) -> object:
        return 1 // 0

    with lanes(Desks()) as (offload, take):
        offload.submit(Lane.READ, 1, fail)
        offload.submit(Lane.READ, 2, lambda _: "next")
        failed, following = take(2)
    assert failed.error is not None
    assert "ZeroDivisionError" in failed.error.reason
    assert following == Completion(2, value="next")


def test_a_desk_that_cannot_be_opened_is_tried_again_with_the_next_work() -> None:
    desks = Desks()
    desks.refuse = True
    with lanes(desks) as (offload, take):
        offload.submit(Lane.LEASE, 1, lambda _: "never")
        (refused,) = take(1)
        desks.refuse = False
        offload.submit(Lane.LEASE, 2, lambda _: "done")
        assert take(1) == [Completion(2, value="done")]
    assert refused.error is not None
    assert refused.error.reason == "no database"


def test_closing_finishes_what_is_queued_and_closes_every_desk() -> None:
    desks = Desks()
    wake = Wake()
    offload = ThreadOffload(desks.open, wake)
    for lane in Lane:
        offload.submit(lane, 0, lambda _: None)
    offload.close()
    assert len(offload.drain()) == len(Lane)
    assert sorted(desks.closed) == sorted(desks.opened)
    wake.close()


def test_a_wake_is_readable_until_it_is_cleared_however_often_it_was_set() -> None:
    with closing(Wake()) as wake:
        assert select.select([wake], [], [], 0) == ([], [], [])
        for _ in range(1000):
            wake.set()
        assert select.select([wake], [], [], 0)[0] == [wake]
        wake.clear()
        assert select.select([wake], [], [], 0) == ([], [], [])
        wake.set()
        assert select.select([wake], [], [], 0)[0] == [wake]


class PipeLine:
    """A line that breaks when the test writes into it."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self.mended = threading.Semaphore(0)
        self.failures = 0
        self._down = False

    def cut(self) -> None:
        os.write(self._writer, b"x")

    def fileno(self) -> int | None:
        return None if self._down else self._reader

    def mend(self) -> None:
        if not self._down:
            os.read(self._reader, 1)
        self._down = self.failures > 0
        if self._down:
            self.failures -= 1
            raise JournalError("connect", "no database")
        self.mended.release()


@pytest.mark.rule("L4")
@pytest.mark.parametrize("failures", [0, 1])
def test_the_line_of_the_lease_lane_is_mended_when_it_breaks_between_two_works(failures: int) -> None:
    desks, line = Desks(), PipeLine()
    desks.desk = Desk(desks.desk.journal, desks.desk.dispatch, line)
    with lanes(desks) as (offload, take):
        for lane in Lane:
            offload.submit(lane, 0, lambda _: None)
        take(len(Lane))
        for _ in range(3):
            line.failures = failures
            line.cut()
            assert line.mended.acquire(timeout=LIMIT_S)
        offload.submit(Lane.LEASE, 7, lambda _: "done")
        assert take(1) == [Completion(7, value="done")]
