"""Identities of runs and owners."""

from __future__ import annotations

import uuid
from typing import NamedTuple

# Names of runs live in a namespace of their own, so that a key never equals another system's UUIDv5.
_RUN_KEYS = uuid.UUID("6f0c8d1e-4a52-5b0e-9c35-1d8f3e7ab210")


def run_id_of(key: str | uuid.UUID) -> uuid.UUID:
    """Return the stable id of a run's key: the UUID itself if the key is one, else a UUIDv5 of the text."""
    if isinstance(key, uuid.UUID):
        return key
    if len(key) in (32, 36):
        try:
            return uuid.UUID(key)
        except ValueError:
            pass
    return uuid.uuid5(_RUN_KEYS, key)


def time_ordered_id(unix_ms: int, random: int) -> uuid.UUID:
    """Return a UUIDv7 (RFC 9562 §5.7) of a moment and at least 74 random bits: ids made later sort later, so that
    new runs go to one end of every index."""
    low = random & ((1 << 62) - 1)
    middle = (random >> 62) & 0xFFF
    return uuid.UUID(int=(unix_ms & ((1 << 48) - 1)) << 80 | 0x7 << 76 | middle << 64 | 0b10 << 62 | low)


def child_run_id(parent: uuid.UUID, ordinal: int, name: str | None) -> uuid.UUID:
    """Return the id of a child of ``parent``: by the ``id=`` that it was given, else by its number among the parent's
    children, from 1. Every replay finds the same (C1)."""
    return uuid.uuid5(parent, f"child {ordinal}" if name is None else f"child id {name}")


def successor_run_id(run: uuid.UUID) -> uuid.UUID:
    """Return the id of the run that continues ``run`` as new: a commit that is tried again inserts the same."""
    return uuid.uuid5(run, "successor")


class Owner(NamedTuple):
    """One incarnation of one engine: what holds leases (L2). Its text is ``node/instance/engine/incarnation``.

    ``incarnation`` is ``<boot>-<n>``: ``boot`` names one life of the whole node, ``n`` grows with every start of a
    process in it.
    """

    node: str
    instance: str
    engine: str
    incarnation: str

    def __str__(self) -> str:
        return "/".join(self)

    @property
    def boot(self) -> str:
        return self.incarnation.partition("-")[0]

    @classmethod
    def parse(cls, text: str) -> Owner:
        """Return the owner that ``text`` names.

        Raises:
            ValueError: it has not the four parts of an owner.
        """
        parts = text.split("/")
        if len(parts) != 4:
            raise ValueError(f"{text!r} is no owner (node/instance/engine/incarnation)")
        return cls(*parts)
