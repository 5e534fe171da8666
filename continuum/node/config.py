"""What a node is made of, as values."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field

from continuum.config import schema_of
from continuum.core.options import NAME_BYTES_MAX
from continuum.errors import ConfigurationError
from continuum.model.storable import is_storable
from continuum.wire.endpoint import parse_endpoint

PROCESSES_MAX = 512  # of one kind; more on one host is a slip of the finger
SLOTS_MAX = 100_000
DRAIN_S_MAX = 7 * 86400.0
LOG_LEVELS = ("debug", "info", "warning", "error")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """The settings of a node. ``modules``: the importable modules of the application.

    ``database`` None takes what `continuum.config.resolve_database` finds. ``name`` None is the host's name; two
    nodes of one name and instance cannot run in one place. ``slots``: activities that one worker runs at once.
    ``migrate`` brings an older schema forward at start, as is always done with the embedded database. ``drain_s``:
    how long running activities may take at a graceful stop; what takes longer is stopped, and that attempt does not
    count.

    ``cluster`` False keeps the node out of the group of nodes: what it has to do with others goes through the database.
    ``bind``: where the others reach it, ``tcp://HOST:PORT``; by default every address with a cluster key, else this
    machine's loopback, at a port that the system chooses. ``join``: ``HOST:PORT`` of nodes to begin with; the database
    names some, too. ``advertise``: ``HOST:PORT`` under which the others reach ``bind``, if that does not say.
    ``cluster_key_file`` as for `continuum.config.resolve_cluster_key`.

    Raises:
        ConfigurationError: a value that cannot work.
    """

    modules: tuple[str, ...]
    database: str | None = field(default=None, repr=False)  # it may hold a password
    instance: str = "default"
    name: str | None = None
    engines: int = 1
    workers: int = 2
    queues: tuple[str, ...] = ("default",)
    slots: int = 100
    migrate: bool = False
    log_level: str = "info"
    drain_s: float = 30.0
    cluster: bool = True
    bind: str | None = None
    join: tuple[str, ...] = ()
    advertise: str | None = None
    cluster_key_file: str | None = None

    def __post_init__(self) -> None:
        schema_of(self.instance)
        if not self.modules:
            raise ConfigurationError("a node needs a module with workflows or activities, such as shop.flows")
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"{self.name!r} is no name for a node; use 1 to 63 letters, digits, dots, dashes and underscores"
            )
        _check_range("engines", self.engines, 0, PROCESSES_MAX)
        _check_range("workers", self.workers, 0, PROCESSES_MAX)
        _check_range("slots", self.slots, 1, SLOTS_MAX)
        if not self.queues or not all(self.queues):
            raise ConfigurationError("a node serves at least one queue, and a queue's name is not empty")
        for queue in self.queues:
            if not is_storable(queue) or len(queue.encode()) > NAME_BYTES_MAX:
                raise ConfigurationError(
                    f"{queue[:40]!r} is no name for a queue: it has more than {NAME_BYTES_MAX:,} bytes, or a character "
                    "that PostgreSQL cannot store"
                )
        if self.log_level not in LOG_LEVELS:
            raise ConfigurationError(
                f"{self.log_level!r} is no log level; choose from {', '.join(LOG_LEVELS)}"
            )
        for address in (self.bind, self.advertise, *self.join):
            if address is not None:
                parse_endpoint(address)
        if not 0 <= self.drain_s <= DRAIN_S_MAX:
            raise ConfigurationError(
                f"drain_s is {self.drain_s}; it must be 0 or more seconds, and at most {DRAIN_S_MAX:g}"
            )

    @property
    def schema(self) -> str:
        """The database schema of the instance."""
        return schema_of(self.instance)

    @property
    def node_name(self) -> str:
        """``name``, or the host's name without what has no place in one."""
        return name_of_node(self.name)


def name_of_node(name: str | None) -> str:
    """Return the name of a node that was given this one, or none."""
    return name or re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:63].lstrip(".-_") or "node"


def _check_range(what: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ConfigurationError(f"{what} is {value}; it must be {least} to {most}")
