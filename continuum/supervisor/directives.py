"""What the supervision tree tells the shell to do, and what the shell tells the tree of an exit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Start:
    """Fork this child; then `on_started` when it is ready, or `on_exit`."""

    child_id: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask this child to finish within ``grace_s``."""

    child_id: str
    grace_s: float


@dataclass(frozen=True, slots=True)
class Kill:
    """End this child now, with SIGKILL."""

    child_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Escalate:
    """This supervisor gives up; its children stop and its parent decides. For the log."""

    supervisor_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Terminate:
    """The whole tree is down. The last directive, exactly once."""

    reason: str
    exit_code: int


Directive = Start | Stop | Kill | Escalate | Terminate


@dataclass(frozen=True, slots=True)
class Exit:
    """How a child ended. ``fatal``: it says that starting it again cannot help; ``exit_code`` is then the tree's."""

    kind: Literal["normal", "crash", "fatal"]
    text: str
    exit_code: int = 1
