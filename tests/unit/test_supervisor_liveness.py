"""Whom the supervisor pings, and whose silence it takes for death."""

from __future__ import annotations

from continuum.supervisor.liveness import Liveness


def liveness() -> Liveness:
    return Liveness(interval_s=2.0, timeout_s=10.0, start_timeout_s=60.0, now=0.0)


def ticked_until(watch: Liveness, begin: int, end: int) -> tuple[list[str], list[str]]:
    """Pings and losses of one tick a second, as an undisturbed supervisor makes them."""
    results = [watch.on_tick(float(now)) for now in range(begin, end + 1)]
    return [name for pings, _ in results for name in pings], [name for _, lost in results for name in lost]


def test_every_child_is_pinged_once_in_each_interval() -> None:
    watch = liveness()
    watch.watch("a", 0.0)
    pings, lost = ticked_until(watch, 1, 8)
    assert (pings, lost) == (["a"] * 4, [])


def test_a_ready_child_that_is_silent_for_the_time_out_is_lost_once() -> None:
    watch = liveness()
    watch.watch("a", 0.0)
    watch.on_ready("a", 1.0)
    assert ticked_until(watch, 1, 10)[1] == []
    assert ticked_until(watch, 11, 30)[1] == ["a"]


def test_a_starting_child_has_the_longer_time() -> None:
    watch = liveness()
    watch.watch("a", 0.0)
    assert ticked_until(watch, 1, 59)[1] == []
    assert ticked_until(watch, 60, 60)[1] == ["a"]


def test_an_answer_begins_the_time_anew() -> None:
    watch = liveness()
    watch.watch("a", 0.0)
    watch.on_ready("a", 0.0)
    ticked_until(watch, 1, 9)
    watch.on_heard("a", 9.0)
    assert ticked_until(watch, 10, 18)[1] == []
    assert ticked_until(watch, 19, 19)[1] == ["a"]


def test_a_supervisor_that_was_held_up_itself_blames_nobody_for_it() -> None:
    watch = liveness()
    watch.watch("a", 0.0)
    watch.on_ready("a", 0.0)
    assert watch.on_tick(1.0) == ([], [])
    assert watch.on_tick(1000.0) == (["a"], []), "the machine slept"
    assert ticked_until(watch, 1001, 1008)[1] == []
    assert ticked_until(watch, 1009, 1010)[1] == ["a"]


def test_a_forgotten_child_is_neither_pinged_nor_lost() -> None:
    watch = liveness()
    watch.watch("a", 0.0)
    watch.forget("a")
    assert ticked_until(watch, 1, 100) == ([], [])


def test_the_deadline_is_the_next_ping_or_the_first_loss() -> None:
    watch = liveness()
    assert watch.deadline == 2.0
    watch.watch("a", 0.0)
    watch.on_ready("a", 0.0)
    assert watch.deadline == 2.0
    ticked_until(watch, 1, 9)
    assert watch.deadline == 10.0
