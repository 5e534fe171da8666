"""What happens in the demo, a small step at a time, until every order is finished or the time is over."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Any, Protocol

from continuum.client import Client
from continuum.node import Node
from continuum_cli.demo.orders import Watched, stage_of

ORDERS = 30
BATCH = 3  # orders that come at once: with two workers, each of them has one
BATCH_EVERY_S = 0.8
APPROVE_AFTER_S = 1.0
STEP_S = 0.15
LIMIT_S = 50.0  # from the first order; a node that is not done by then has lost something
KILL_WORKER_AT = ORDERS // 3  # orders started
KILL_ENGINE_AT = ORDERS // 3  # orders shipped


class Show(Protocol):
    """Where the story is told."""

    def say(self, line: str) -> None: ...

    def update(self, orders: Sequence[Watched]) -> None: ...


@dataclass(slots=True)
class Victim:
    """A process that is killed, and what comes in its place."""

    name: str
    pid: int
    killed_at: float
    successor: int | None = None
    away_s: float = 0.0


@dataclass(slots=True)
class Story:
    """``make_call`` makes the call of the shop's workflow from an order's id and price."""

    client: Client
    node: Node
    make_call: Callable[[str, int], Any]
    show: Show
    orders: list[Watched] = field(default_factory=list)
    victims: list[Victim] = field(default_factory=list)
    began_at: float = field(default_factory=monotonic)

    def tell(self) -> None:
        """Go on until all orders have ended and all victims have a successor, or the time is over."""
        while monotonic() < self.began_at + LIMIT_S:
            self._start_orders()
            self._look()
            self._approve()
            self._disturb()
            self.show.update(self.orders)
            if self._is_over():
                return
            sleep(STEP_S)

    def _is_over(self) -> bool:
        all_ended = len(self.orders) == ORDERS and all(order.ended for order in self.orders)
        return all_ended and all(victim.successor for victim in self.victims)

    def _start_orders(self) -> None:
        due = BATCH * (1 + int((monotonic() - self.began_at) / BATCH_EVERY_S))
        numbers = range(len(self.orders) + 1, min(due, ORDERS) + 1)
        if not numbers:
            return
        new = [(f"order-{number:02}", 1000 + 37 * number) for number in numbers]
        runs = self.client.start_many([self.make_call(*each) for each in new], ids=[id for id, _ in new])
        self.orders += [Watched(id, cents, run.id) for (id, cents), run in zip(new, runs, strict=True)]

    def _look(self) -> None:
        states = {run.id: run.state for run in self.client.query(limit=1000).runs}
        for order in self.orders:
            if order.ended:
                continue
            order.state = states.get(order.run_id, order.state)
            order.stage = stage_of(order.state, self.client.history(order.run_id))
            if order.asked_at is None and order.stage.step == "approval":
                order.asked_at = monotonic()

    def _approve(self) -> None:
        for order in self.orders:
            if order.approved or order.asked_at is None or order.ended:
                continue
            if monotonic() >= order.asked_at + APPROVE_AFTER_S:
                self.client.signal(order.run_id, "approved", True, id="the demo's approval")
                order.approved = True

    def _disturb(self) -> None:
        rows = {row.name: row.pid for row in self.node.processes()}
        for victim in self.victims:
            pid = rows.get(victim.name)
            if victim.successor is None and pid is not None and pid != victim.pid:
                victim.successor, victim.away_s = pid, monotonic() - victim.killed_at
                self.show.say(f"{victim.name} is back (pid {pid}), after {victim.away_s:.1f} s")
        if any(victim.successor is None for victim in self.victims):
            return
        charging = self._count("charge")
        if not self.victims and len(self.orders) >= KILL_WORKER_AT and charging >= BATCH - 1:
            self._kill("worker-1", rows, f"while {charging} charges are under way")
        elif len(self.victims) == 1 and sum(order.ended for order in self.orders) >= KILL_ENGINE_AT:
            unfinished = sum(not order.ended for order in self.orders)
            self._kill("engine-1", rows, f"which has {unfinished} unfinished orders in memory")

    def _kill(self, name: str, rows: dict[str, int], circumstance: str) -> None:
        pid = rows.get(name)
        if pid is None:
            return
        os.kill(pid, signal.SIGKILL)
        self.victims.append(Victim(name, pid, monotonic()))
        self.show.say(f"kill -9 {name} (pid {pid}), {circumstance}")

    def _count(self, step: str) -> int:
        return sum(order.stage.step == step for order in self.orders if not order.ended)
