"""Each rumor is told a limited number of times, the least told first, within the room of a datagram."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from continuum.cluster.messages import Claim, Status, encoded_bytes
from continuum.cluster.rumors import ACCUSERS_MAX, Rumors

SIZE = encoded_bytes(Claim("n00", Status.ALIVE, 1, 0))


def alive(number: int, incarnation: int = 0) -> Claim:
    return Claim(f"n{number:02}", Status.ALIVE, 1, incarnation)


def suspect(number: int, by: str, incarnation: int = 0) -> Claim:
    return Claim(f"n{number:02}", Status.SUSPECT, 1, incarnation, by)


@given(count=st.integers(0, 30), limit=st.integers(1, 12), room=st.integers(SIZE, 20 * SIZE))
def test_every_rumor_is_told_exactly_as_often_as_the_limit_says(count: int, limit: int, room: int) -> None:
    rumors = Rumors()
    for number in range(count):
        rumors.add(alive(number))
    told: Counter[str] = Counter()
    while rumors.names:
        taken, left = rumors.take(room, limit)
        assert taken, "rumors that fit are told, so this ends"
        assert left == room - sum(map(encoded_bytes, taken)) >= 0
        told.update(claim.name for claim in taken)
    assert told == {f"n{number:02}": limit for number in range(count)}


@given(count=st.integers(2, 30), fit=st.integers(1, 5))
def test_the_least_told_go_first(count: int, fit: int) -> None:
    rumors = Rumors()
    for number in range(count):
        rumors.add(alive(number))
    told: Counter[str] = Counter({f"n{number:02}": 0 for number in range(count)})
    for _ in range(3 * count):
        told.update(claim.name for claim in rumors.take(fit * SIZE, 1000)[0])
        assert max(told.values()) - min(told.values()) <= 1


def test_news_come_before_what_was_told_already() -> None:
    rumors = Rumors()
    rumors.add(alive(1))
    rumors.take(SIZE, 10)
    rumors.add(alive(2))
    assert [claim.name for claim in rumors.take(SIZE, 10)[0]] == ["n02"]


def test_a_claim_replaces_what_it_outranks_and_is_dropped_by_what_outranks_it() -> None:
    rumors = Rumors()
    rumors.add(suspect(1, "n02"))
    rumors.add(alive(1, incarnation=1))
    rumors.add(suspect(1, "n03", incarnation=0))
    assert rumors.take(1400, 10)[0] == [alive(1, incarnation=1)]
    assert len(rumors) == 1


def test_the_accusations_of_several_members_travel_side_by_side_up_to_a_limit() -> None:
    rumors = Rumors()
    for number in range(2 * ACCUSERS_MAX):
        rumors.add(suspect(1, f"accuser-{number}"))
    assert len(rumors.take(1400, 10)[0]) == ACCUSERS_MAX
    rumors.add(Claim("n01", Status.DEAD, 1, 0, "accuser-1"))
    assert [claim.status for claim in rumors.take(1400, 10)[0]] == [Status.DEAD]


def test_a_rumor_that_is_too_large_waits_and_the_others_go() -> None:
    rumors = Rumors()
    rumors.add(alive(1))
    rumors.add(Claim("large", Status.ALIVE, 1, 0, entries={"x": b"x" * 500}))
    assert rumors.take(100, 10)[0] == [alive(1)]
    assert [claim.name for claim in rumors.take(1400, 10)[0]] == ["large", "n01"]


def test_what_is_discarded_is_told_no_more() -> None:
    rumors = Rumors()
    rumors.add(suspect(1, "n02"))
    rumors.add(suspect(1, "n03"))
    rumors.discard("n01")
    assert not rumors.names
    assert rumors.take(1400, 10) == ([], 1400)
