"""Runs that never had more in the database than their row, events and signals: the engine says so, and only of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from continuum.core.definitions import workflow
from continuum.core.effects import wait_signal
from continuum.model import payload
from continuum.ports.offload import CommitWork, MailWork
from continuum.runtime.limits import EngineLimits
from continuum.wire.messages import TimersFired, Wake, WorkerReady
from tests.unit.engine_house import RUN, House, chain, naps
from tests.unit.test_engine_family import parent


@workflow(name="bare.waits")
async def waits() -> object:
    return await wait_signal("go")


class Watched(House):
    """A house that notes what its engine says of its runs."""

    def __init__(self, limits: EngineLimits | None = None) -> None:
        self.commits: list[bool] = []
        self.mails: list[bool] = []
        super().__init__(limits=limits)
        submit = self.desks.submit

        def watch(lane: Any, ticket: int, work: Callable[[Any], object]) -> None:
            if isinstance(work, CommitWork):
                self.commits += [step.is_bare for step in work.batch]
            elif isinstance(work, MailWork):
                self.mails.append(work.is_bare)
            submit(lane, ticket, work)

        self.desks.submit = watch  # type: ignore[method-assign]

    def finish_all(self) -> None:
        while tasks := self.executes():
            for task in tasks:
                self.finish(task)

    def signal(self) -> None:
        self.stage.store.catalog.signal(RUN, "go", payload.encode(1), "g")
        self.dispatcher.send("engine-1", Wake([RUN.bytes]))
        self.settle()


def test_a_run_of_activities_and_signals_is_bare_to_its_end() -> None:
    house = Watched()
    house.start(chain, 2)
    house.finish_all()
    assert house.result() == 1 and house.commits == [True, True, True]
    house = Watched()
    house.start(waits)
    house.signal()
    assert house.result() == 1 and house.commits == [True, True] and set(house.mails) == {True}


def test_a_run_with_a_timer_is_not_bare_any_more() -> None:
    house = Watched()
    house.start(naps)
    house.advance(6)
    house.timer.send("engine-1", TimersFired([(RUN.bytes, 1)]))
    house.settle()
    assert house.result() == "woken" and not any(house.commits)


def test_a_run_with_a_child_is_not_bare_any_more() -> None:
    house = Watched()
    house.start(parent, 5)
    assert house.commits == [False]


def test_a_run_with_a_task_row_is_not_bare_any_more() -> None:
    house = Watched()
    house.worker.send("engine-1", WorkerReady(("elsewhere",), 10, 0))
    house.start(chain, 1)
    house.advance(1)
    assert house.commits == [True, False], "it is scheduled, and then put into a row for other nodes"


def test_a_run_with_a_snapshot_is_not_bare_any_more() -> None:
    house = Watched(EngineLimits(snapshot_every=2))
    house.start(chain, 3)
    house.finish_all()
    assert house.commits[:2] == [True, True] and house.commits[-1] is False


def test_a_run_that_was_loaded_may_have_anything() -> None:
    house = Watched(EngineLimits(runs_max=1))
    house.start(waits)
    house.advance(1)
    assert house.engine.runs == 0, "given back"
    house.commits.clear()
    house.stage.store.catalog.signal(RUN, "go", payload.encode(1), "g")
    house.assign()
    assert house.result() == 1 and house.commits == [False]
