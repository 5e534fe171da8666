"""Whether a node of this host is well, as its own run directory tells: no database and no network is asked.

So a probe costs nothing, and an outage of the database, which a node rides out by itself, never has it restarted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from continuum.config import DatabaseChoice
from continuum.node.rundir import ProcessList, choose_run_directory, is_held, read_processes


@dataclass(frozen=True, slots=True)
class Health:
    """``reason`` says why the node is not well, "" if it is. ``processes``: None where none runs."""

    node: str
    instance: str
    processes: ProcessList | None
    reason: str

    @property
    def well(self) -> bool:
        return not self.reason


def health_of(choice: DatabaseChoice, instance: str, name: str, start: Path) -> Health:
    """Look at the node that was started with these settings in, or below, the folder of ``start``.

    Raises:
        NodeError: there is no place in which such a node could run.
    """
    path = choose_run_directory(choice, instance, name, start)
    processes = read_processes(path) if is_held(path) else None
    if processes is None:
        return Health(name, instance, None, f"no node {name} of instance {instance} runs from {start}")
    missing = processes.missing()
    return Health(name, instance, processes, f"not running: {', '.join(missing)}" if missing else "")
