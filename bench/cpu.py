"""What a measurement costs: processor time and memory of processes, and of all that they started.

The time of a process that has ended is with the parent that waited for it. So the sum over a tree never goes back, and
a backend of PostgreSQL that came and went between two looks is counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import psutil
from psycopg import sql

from bench.bed import Bed

_BACKEND = sql.SQL("select pg_backend_pid(), inet_server_addr() is null")


@dataclass(frozen=True, slots=True)
class Spent:
    """Processor seconds so far of a node's engines and workers, and of PostgreSQL with all its processes."""

    work_s: float
    database_s: float

    def since(self, before: Spent) -> float:
        """Seconds in all from ``before`` to this."""
        return self.work_s - before.work_s + self.database_s - before.database_s


def of_node(bed: Bed, *roles: str) -> float:
    """Processor seconds of the node's processes of these roles, of all without any, and of what they started."""
    return sum(tree_s(pid) for pid in bed.processes(*roles))


def spent(bed: Bed, postmaster: int) -> Spent:
    return Spent(of_node(bed, "engine", "worker"), tree_s(postmaster, deep=True))


def postmaster_of(bed: Bed) -> int | None:
    """The process of the server, None if it does not run where this program does, or cannot be seen."""
    ((pid, is_local),) = bed.ask(_BACKEND)
    if not is_local:
        return None
    with suppress(psutil.Error):
        parent = psutil.Process(pid).parent()
        if parent is not None and "postgres" in parent.name():
            return parent.pid
    return None


def tree_s(pid: int, *, deep: bool = False) -> float:
    """Processor seconds of a process and of its children that have ended; ``deep``: and of those that live."""
    processes = [psutil.Process(pid)]
    if deep:
        processes += processes[0].children(recursive=True)
    total = 0.0
    for process in processes:
        with suppress(
            psutil.NoSuchProcess
        ):  # it has just ended: its time is with the parent at the next look
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def memory_bytes(pids: Iterable[int]) -> int:
    """What processes occupy, a page that several share counted in parts (PSS)."""
    return sum(psutil.Process(pid).memory_full_info().pss for pid in pids)
