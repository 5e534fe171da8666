"""The full state as it goes over the wire: whole while it is small, else in parts that each stand alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from continuum.cluster.messages import CLAIMS_MAX, Claim
from continuum.cluster.state import Member, claim_of

PART_BYTES = 256 * 1024  # about


def state_of(members: Iterable[Member], accusers: Mapping[str, str]) -> list[list[Claim]]:
    """Return the claims about ``members`` in parts of at most `CLAIMS_MAX` and of a bounded size. ``accusers``: who
    was the first to suspect a member; one that only passes a suspicion on does not confirm it."""
    parts: list[list[Claim]] = [[]]
    size = 0
    for member in members:
        claim = claim_of(member, accusers.get(member.name, ""))
        bytes_ = 100 + sum(len(key) + len(value) for key, value in member.entries.items())
        if parts[-1] and (size + bytes_ > PART_BYTES or len(parts[-1]) >= CLAIMS_MAX):
            parts.append([])
            size = 0
        parts[-1].append(claim)
        size += bytes_
    return parts
