"""What a node holds of a member, and how a claim changes it.

Liveness is ordered by (epoch, incarnation, status), entries by (epoch, sequence); merging takes the larger of each.
A member is the only one that raises its own incarnation and its own sequence, and an epoch comes from a sequence of
the database, so equal numbers mean equal values: merging is commutative, associative and idempotent, and nodes
that have heard the same claims hold the same, whatever the order (a join semilattice, as in state-based CRDTs).

A larger epoch is a later life under the same name. It wins at once, with its address and its entries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import msgspec

from continuum.cluster.messages import Claim, Status


class Member(msgspec.Struct, frozen=True, gc=False):
    """One member as this node sees it.

    ``sequence`` counts the versions of ``entries``. ``rtt_s``: a moving average of direct probes, None before the
    first. ``since``: when the status began, on this node's clock."""

    name: str
    address: str
    epoch: int
    incarnation: int
    status: Status
    sequence: int
    entries: Mapping[str, bytes]
    rtt_s: float | None
    since: float

    @property
    def is_here(self) -> bool:
        """Alive, or suspect: not yet given up."""
        return self.status <= Status.SUSPECT


def admit(claim: Claim, now: float) -> Member:
    """Return the member that a claim about an unknown life makes."""
    entries = claim.entries
    known = 0 if entries is None else claim.sequence
    return Member(
        claim.name,
        claim.address,
        claim.epoch,
        claim.incarnation,
        claim.status,
        known,
        entries or {},
        None,
        now,
    )


def merge(held: Member, claim: Claim, now: float) -> Member:
    """Return what is known after ``claim``; ``held`` itself if that is nothing new."""
    if claim.epoch != held.epoch:
        return admit(claim, now) if claim.epoch > held.epoch else held
    incarnation, status, since = held.incarnation, held.status, held.since
    if (claim.incarnation, claim.status) > (incarnation, status):
        since = since if claim.status == status else now
        incarnation, status = claim.incarnation, claim.status
    sequence, entries = held.sequence, held.entries
    if claim.entries is not None and claim.sequence > sequence:
        sequence, entries = claim.sequence, claim.entries
    if (incarnation, status, sequence) == (held.incarnation, held.status, held.sequence):
        return held
    return Member(
        held.name, held.address, held.epoch, incarnation, status, sequence, entries, held.rtt_s, since
    )


def claim_of(member: Member, by: str = "") -> Claim:
    """Return all that is known of a member."""
    return Claim(
        member.name,
        member.status,
        member.epoch,
        member.incarnation,
        by,
        member.address,
        member.sequence,
        cast("dict[str, bytes]", member.entries),
    )


def life_of(member: Member, by: str = "") -> Claim:
    """Return the claim about its liveness alone."""
    address = member.address if member.status == Status.ALIVE else ""
    return Claim(member.name, member.status, member.epoch, member.incarnation, by, address)
