"""Timers that are due: they fire as the groups of commits have room, each once, and never not at all (T4)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from continuum.runtime.firing import FIRE_MIN, FIRE_MIN_US, Firing

TIMERS = 10 * FIRE_MIN


class Scene:
    """Runs with one timer each; ``room`` is what the next group has."""

    def __init__(self, room: int) -> None:
        self.room, self.now_us = room, 1_000_000
        self.fired: list[bytes] = []
        keys = [(b"%d" % number, 1) for number in range(TIMERS)]
        runs: dict[bytes, Any] = {
            run: SimpleNamespace(id=run, evicting=False, machine=self) for run, _ in keys
        }
        self.firing = Firing(
            runs,
            lambda: self.room,
            lambda: self.now_us,
            self.touch,
            lambda run, seq: self.touch(run),
            lambda run, error: self.touch(run),
        )
        self.firing.add(keys)
        self.firing.add(keys)

    def fire(self, seq: int, now_us: int) -> bool:
        return True

    def touch(self, run: Any) -> None:
        self.fired.append(run.id if isinstance(run, SimpleNamespace) else run)

    def tick(self, passed_us: int = 0) -> int:
        """Let time pass, and return how many fired then."""
        before = len(self.fired)
        self.now_us += passed_us
        self.firing.tick()
        return len(self.fired) - before


@pytest.mark.rule("T4")
def test_as_many_fire_as_the_group_has_room_for_and_each_once() -> None:
    scene = Scene(room=4 * FIRE_MIN)
    assert [scene.tick() for _ in range(4)] == [4 * FIRE_MIN, 4 * FIRE_MIN, 2 * FIRE_MIN, 0]
    assert len(set(scene.fired)) == TIMERS


@pytest.mark.rule("T4")
@pytest.mark.parametrize("room", [0, -500])
def test_where_there_is_no_room_a_few_fire_now_and_then_and_no_more(room: int) -> None:
    scene = Scene(room)
    assert [scene.tick() for _ in range(3)] == [0, 0, 0]
    assert [scene.tick(FIRE_MIN_US) for _ in range(3)] == [FIRE_MIN] * 3
    assert scene.tick(FIRE_MIN_US - 1) == 0
