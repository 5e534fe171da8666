"""How busy this node is, from what its engines and workers announce, and how a node publishes it.

An entry of a node is a few numbers that change slowly; nothing of single runs is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from continuum.cluster.groups import LocalEntries
from continuum.wire.messages import EngineReady, WorkerReady

BOOT, LOAD, ABOUT = "boot", "load", "about"
ENGINES, QUEUES = "engines", "queue/"  # names of process groups
_RATE_S = 5.0  # over which commits are counted
S = TypeVar("S", bound=msgspec.Struct)


class NodeLoad(msgspec.Struct, frozen=True, array_like=True):
    """``free``: how many more runs the engines take. ``live`` runs are in memory, of which ``parked`` wait for signals
    and timers only. ``batch``: steps of runs in a commit, on average. ``busy`` of ``slots`` run an activity."""

    free: int = 0
    live: int = 0
    parked: int = 0
    commits_s: float = 0.0
    batch: float = 0.0
    slots: int = 0
    busy: int = 0


class About(msgspec.Struct, frozen=True, array_like=True):
    """What does not change while a node lives. ``versions``: some of the versions of
    workflows that it has loaded (name@hash), in all ``of``."""

    version: str = ""
    queues: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    of: int = 0
    started_at: float = 0.0  # seconds since the epoch, by the node's own clock


class EngineLoad(msgspec.Struct):
    """What one engine said last, and what follows from it."""

    free: int = 0
    live: int = 0
    parked: int = 0
    commits_s: float = 0.0
    batch: float = 0.0


class WorkerLoad(msgspec.Struct):
    """What one worker said last. ``stuck``: what does not go on there, for a person."""

    queues: tuple[str, ...] = ()
    slots: int = 0
    busy: int = 0
    stuck: tuple[str, ...] = ()


class _Count(msgspec.Struct):
    commits: int
    steps: int
    at: float


class LocalLoad:
    """What this node's processes have said, and the entries that come of it."""

    def __init__(self, entries: LocalEntries) -> None:
        self._entries = entries
        self.engines: dict[str, EngineLoad] = {}
        self.workers: dict[str, WorkerLoad] = {}
        self._counts: dict[str, _Count] = {}

    def engine_says(self, name: str, said: EngineReady, now: float) -> None:
        load = self.engines.setdefault(name, EngineLoad())
        load.free, load.live, load.parked = said.free, said.live, said.parked
        before = self._counts.setdefault(name, _Count(said.commits, said.steps, now))
        if now - before.at >= _RATE_S:
            commits, steps = said.commits - before.commits, said.steps - before.steps
            load.commits_s = round(max(commits, 0) / (now - before.at), 1)
            load.batch = round(steps / commits, 1) if commits > 0 else 0.0
            self._counts[name] = _Count(said.commits, said.steps, now)
        self._entries.join(ENGINES, name)

    def worker_says(self, name: str, said: WorkerReady) -> None:
        slots = 0 if said.stopping else said.window
        self.workers[name] = WorkerLoad(said.queues, slots, said.running, said.stuck)
        for queue in said.queues:
            if said.stopping:
                self._entries.leave(QUEUES + queue, name)
            else:
                self._entries.join(QUEUES + queue, name)

    def process_down(self, name: str) -> None:
        self.engines.pop(name, None)
        self.workers.pop(name, None)
        self._counts.pop(name, None)
        self._entries.leave_all(name)

    def total(self) -> NodeLoad:
        engines, workers = self.engines.values(), self.workers.values()
        commits_s = sum(load.commits_s for load in engines)
        steps_s = sum(load.commits_s * load.batch for load in engines)
        return NodeLoad(
            sum(load.free for load in engines),
            sum(load.live for load in engines),
            sum(load.parked for load in engines),
            round(commits_s, 1),
            round(steps_s / commits_s, 1) if commits_s else 0.0,
            sum(load.slots for load in workers),
            sum(load.busy for load in workers),
        )


def load_of(entries: Mapping[str, bytes]) -> NodeLoad:
    """Return the load that a member publishes; nothing of it is believed that cannot be read."""
    return _decode(entries.get(LOAD), NodeLoad)


def about_of(entries: Mapping[str, bytes]) -> About:
    """Return what a member says of itself."""
    return _decode(entries.get(ABOUT), About)


def boot_of(entries: Mapping[str, bytes]) -> str:
    """Return which life of its node a member is; "" if that is not known yet."""
    return entries.get(BOOT, b"").decode(errors="replace")


def _decode(data: bytes | None, shape: type[S]) -> S:
    try:
        return msgspec.msgpack.decode(data, type=shape) if data is not None else shape()
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return shape()
