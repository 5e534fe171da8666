"""Merging claims is a join: the order, doubles and losses of messages do not matter to what a node ends up with."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from continuum.cluster.messages import Claim, Status
from continuum.cluster.state import Member, admit, claim_of, life_of, merge

statuses = st.sampled_from(Status)
small = st.integers(1, 3)


def claim(epoch: int, incarnation: int, status: Status, sequence: int, tells: bool) -> Claim:
    """As an honest node makes it: one address per epoch, one set of entries per sequence."""
    entries = {"load": b"%d.%d" % (epoch, sequence)} if tells else None
    return Claim("a", status, epoch, incarnation, "", f"tcp://{epoch}", sequence, entries)


claims = st.builds(claim, small, small, statuses, small, st.booleans())
START = admit(claim(1, 0, Status.ALIVE, 0, False), 0.0)


def facts(member: Member) -> tuple[object, ...]:
    return (
        member.epoch,
        member.incarnation,
        member.status,
        member.address,
        member.sequence,
        dict(member.entries),
    )


def fold(heard: list[Claim], start: Member = START) -> Member:
    for number, each in enumerate(heard):
        start = merge(start, each, float(number))
    return start


@given(heard=st.lists(claims, max_size=6), data=st.data())
def test_the_order_of_claims_does_not_matter(heard: list[Claim], data: st.DataObject) -> None:
    assert facts(fold(data.draw(st.permutations(heard)))) == facts(fold(heard))


@given(one=st.lists(claims, max_size=4), other=st.lists(claims, max_size=4))
def test_what_two_nodes_know_merges_to_the_same_whichever_hears_the_other(
    one: list[Claim], other: list[Claim]
) -> None:
    left, right = fold(one), fold(other)
    assert facts(merge(left, claim_of(right), 9.0)) == facts(merge(right, claim_of(left), 9.0))


@given(heard=st.lists(claims, max_size=5))
def test_hearing_everything_again_changes_nothing(heard: list[Claim]) -> None:
    known = fold(heard)
    assert all(merge(known, each, 99.0) is known for each in heard)
    assert merge(known, claim_of(known), 99.0) is known
    assert merge(known, life_of(known), 99.0) is known


@given(held=claims, heard=claims)
def test_a_claim_never_takes_a_member_back(held: Claim, heard: Claim) -> None:
    before = admit(held, 0.0)
    after = merge(before, heard, 1.0)
    assert (after.epoch, after.incarnation, after.status) >= (before.epoch, before.incarnation, before.status)
    assert (after.epoch, after.sequence) >= (before.epoch, before.sequence)


@given(accusation=claims.filter(lambda each: each.status in (Status.SUSPECT, Status.DEAD)))
def test_a_refutation_outranks_every_accusation_of_an_earlier_incarnation(accusation: Claim) -> None:
    refutation = claim(accusation.epoch, accusation.incarnation + 1, Status.ALIVE, 0, False)
    assert fold([accusation, refutation]).status == fold([refutation, accusation]).status == Status.ALIVE


def test_a_later_life_wins_at_once_with_its_address_and_its_entries() -> None:
    old = fold([claim(1, 3, Status.DEAD, 3, True)])
    new = merge(old, claim(2, 0, Status.ALIVE, 1, True), 5.0)
    assert facts(new) == (2, 0, Status.ALIVE, "tcp://2", 1, {"load": b"2.1"})
    assert new.since == 5.0


def test_a_sequence_without_entries_does_not_hide_that_they_are_missing() -> None:
    assert fold([claim(1, 0, Status.ALIVE, 3, False)]).sequence == 0


def test_the_status_is_as_old_as_its_last_change() -> None:
    suspect = merge(START, claim(1, 0, Status.SUSPECT, 0, False), 3.0)
    again = merge(suspect, claim(1, 1, Status.SUSPECT, 0, False), 7.0)
    assert (suspect.since, again.since, again.incarnation) == (3.0, 3.0, 1)
