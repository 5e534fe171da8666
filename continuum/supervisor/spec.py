"""What a supervision tree consists of: values only, checked when they are made.

After OTP's child specification (`id start restart shutdown`) and supervisor flags
(`strategy intensity period`), `supervisor.erl` check_childspec/2 and check_flags/1.
``start`` is a role name here: the shell that forks looks its function up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from continuum.errors import ConfigurationError

RestartType = Literal["permanent", "transient", "temporary"]
Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One process of the tree.

    ``permanent`` is always restarted, ``transient`` only after a crash, ``temporary`` never. ``on_demand``: a temporary
    child that is started each time when another child asks for it, and not before.
    ``shutdown_s`` is the time it has to stop before it is killed; 0 kills at once (OTP's ``brutal_kill``).
    """

    id: str
    role: str
    restart: RestartType = "permanent"
    shutdown_s: float = 5.0
    on_demand: bool = False

    def __post_init__(self) -> None:
        if not self.id or not self.role:
            raise ConfigurationError(f"child {self.id!r}: id and role must not be empty")
        if self.on_demand and self.restart != "temporary":
            raise ConfigurationError(f"child {self.id}: on demand is only what is temporary")
        if self.shutdown_s < 0:
            raise ConfigurationError(
                f"child {self.id}: shutdown_s is {self.shutdown_s}; it must be 0 or more"
            )


@dataclass(frozen=True, slots=True)
class SupervisorSpec:
    """A supervisor of processes and of other supervisors, in start order.

    More than ``max_restarts`` restarts within ``max_seconds`` end it, and its parent decides what then.
    A nested supervisor is a permanent child of its parent.

    ``together`` starts and stops the children side by side instead of one after the other, for children
    that do not know each other: stopping eight busy workers then takes one grace, not eight. (OTP does the
    same for its anonymous children, terminate_dynamic_children/1.) It needs ``one_for_one``.

    Raises:
        ConfigurationError: an id occurs twice in the tree, or a limit is out of range.
    """

    id: str
    children: tuple[SupervisorSpec | ChildSpec, ...]
    strategy: Strategy = "one_for_one"
    max_restarts: int = 3
    max_seconds: float = 5.0
    together: bool = False

    def __post_init__(self) -> None:
        if self.max_restarts < 0 or self.max_seconds <= 0:
            raise ConfigurationError(
                f"supervisor {self.id}: at most {self.max_restarts} restarts in {self.max_seconds} s makes no sense; "
                "max_restarts must be 0 or more and max_seconds above 0"
            )
        if self.together and self.strategy != "one_for_one":
            raise ConfigurationError(f"supervisor {self.id}: together needs one_for_one, not {self.strategy}")
        ids = [spec.id for spec in self.walk()]
        doubles = sorted({name for name in ids if ids.count(name) > 1})
        if doubles:
            raise ConfigurationError(f"supervisor {self.id}: ids used twice: {', '.join(doubles)}")

    def walk(self) -> Iterator[SupervisorSpec | ChildSpec]:
        """This supervisor and everything below it, in start order."""
        yield self
        for child in self.children:
            if isinstance(child, SupervisorSpec):
                yield from child.walk()
            else:
                yield child

    def leaves(self) -> tuple[ChildSpec, ...]:
        """The processes of the whole tree, in start order."""
        return tuple(spec for spec in self.walk() if isinstance(spec, ChildSpec))
