"""Who a node is to its group, for one life."""

from __future__ import annotations

from dataclasses import dataclass

from continuum.cluster.messages import ADDRESS_CHARS_MAX, COUNT_MAX, NAME_CHARS_MAX
from continuum.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this node is. ``epoch``: of this life, larger than that of every earlier one (a database sequence)."""

    name: str
    address: str
    epoch: int

    def __post_init__(self) -> None:
        if not 0 < len(self.name) <= NAME_CHARS_MAX or not 0 < len(self.address) <= ADDRESS_CHARS_MAX:
            raise ConfigurationError(
                f"a node needs a name of at most {NAME_CHARS_MAX} characters and an address of at most"
                f" {ADDRESS_CHARS_MAX}: {self.name[:50]!r}, {self.address[:50]!r}"
            )
        if not 0 <= self.epoch < COUNT_MAX:
            raise ConfigurationError(f"{self.epoch} is no epoch of a node")
