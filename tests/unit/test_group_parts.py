"""The small parts of a membership: health, timing, the pool of peers, the round of probes, probes under way."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from continuum.cluster.awareness import Awareness
from continuum.cluster.peers import Pool, Round
from continuum.cluster.probing import PROBES_MAX, RELAYS_MAX, Probes
from continuum.cluster.timing import LOCAL, WAN, Timing
from continuum.errors import ConfigurationError


@given(st.lists(st.sampled_from(["answered", "unanswered", "accused", "held up"])))
def test_health_stays_between_well_and_its_worst(events: list[str]) -> None:
    awareness = Awareness(8)
    for event in events:
        before = awareness.score
        match event:
            case "answered":
                awareness.on_answered()
                assert awareness.score == max(before - 1, 0)
            case "unanswered":
                awareness.on_unanswered(3, 0)
                assert awareness.score == min(before + 3, 8)
            case "accused":
                awareness.on_accused()
            case _:
                awareness.on_held_up()
        assert 0 <= awareness.score <= 8
        assert awareness.factor == awareness.score + 1


def test_a_failed_probe_is_the_targets_fault_when_a_helper_answers_and_ours_when_none_does() -> None:
    awareness = Awareness(8)
    awareness.on_unanswered(3, 1)
    assert awareness.score == 0
    awareness.on_unanswered(0, 0)
    assert awareness.score == 1


@pytest.mark.parametrize("timing", [LOCAL, WAN], ids=["local", "wan"])
def test_limits_grow_with_the_group_but_slowly(timing: Timing) -> None:
    sizes = [2, 3, 10, 100, 1000, 10_000]
    for formula in (
        timing.retransmits,
        timing.suspicion_min_s,
        timing.suspicion_max_s,
        timing.sync_interval_s,
    ):
        values = [formula(size) for size in sizes]
        assert values == sorted(values)
        assert values[-1] <= 10 * values[0]
    assert timing.retransmits(999) == math.ceil(timing.retransmit * 3)
    assert timing.suspicion_min_s(2) >= 2 * timing.timeout_s, "time for one more probe, which can refute"


def test_the_local_preset_is_the_documented_one() -> None:
    assert (LOCAL.probe_s, LOCAL.timeout_s, LOCAL.indirect) == (0.5, 0.2, 3)
    assert (LOCAL.gossip_s, LOCAL.gossip_to, LOCAL.sync_s) == (0.1, 3, 10.0)


def test_a_timing_that_cannot_work_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="two time-outs"):
        Timing(probe_s=0.3)
    with pytest.raises(ConfigurationError, match="gossip_to"):
        Timing(gossip_to=0)
    with pytest.raises(ConfigurationError, match="512"):
        Timing(datagram_bytes=100)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abcdefgh"))), st.integers(1, 4))
def test_a_pool_is_a_set_and_a_sample_of_it_has_no_doubles(steps: list[tuple[bool, str]], count: int) -> None:
    pool, model = Pool(), set[str]()
    for is_added, name in steps:
        if is_added:
            pool.add(name)
            model.add(name)
        else:
            pool.discard(name)
            model.discard(name)
        assert set(pool) == model and len(pool) == len(model)
    sample = pool.sample(Random(1), count, without=("a",))
    assert len(set(sample)) == len(sample) <= count
    assert set(sample) <= model - {"a"}
    if len(model) <= 2 * count:
        assert len(sample) == min(count, len(model - {"a"}))


def test_a_round_visits_every_member_once_in_an_order_of_its_own() -> None:
    pool = Pool()
    one, other = Round(pool, Random(3)), Round(pool, Random(4))
    for number in range(20):
        pool.add(str(number))
        one.add(str(number))
        other.add(str(number))
    orders = [[one.next() for _ in range(20)] for _ in range(3)]
    assert sorted(map(str, orders[0])) == sorted(pool)
    assert orders[0] == orders[1] == orders[2] != [other.next() for _ in range(20)]


@given(st.lists(st.sampled_from(["add", "discard", "next"]), max_size=60), st.randoms(use_true_random=False))
def test_a_round_finds_every_member_within_as_many_probes_as_there_are(
    steps: list[str], random: Random
) -> None:
    pool = Pool()
    round_ = Round(pool, Random(3))
    for step in steps:
        name = random.choice("abcdef")
        match step:
            case "add" if pool.add(name):
                round_.add(name)
            case "discard":
                pool.discard(name)
            case "next":
                found = round_.next()
                assert found in pool if len(pool) else found is None
            case _:
                pass
    visited = [round_.next() for _ in range(len(pool))]
    visited += [round_.next() for _ in range(len(pool))]
    assert set(pool) == set(visited) - {None}
    assert all(visited.count(name) <= 3 for name in pool)


def test_a_probe_asks_for_help_after_one_time_out_and_fails_after_two() -> None:
    probes = Probes(0)
    probe = probes.start("a", 1, 10.0, 0.2)
    assert probe is not None
    assert probes.due(10.1) == ([], [], [])
    assert probes.due(10.2) == ([probe], [], [])
    assert probes.due(10.3) == ([], [], [])
    assert probes.due(10.4) == ([], [probe], [])
    assert probes.wake_at == math.inf


def test_only_the_same_life_answers_a_probe() -> None:
    probes = Probes(0)
    probe = probes.start("a", 1, 10.0, 0.2)
    assert probe is not None
    assert probes.answered(probe.number + 1, "a", 1) is None
    assert probes.answered(probe.number, "b", 1) is None
    assert probes.answered(probe.number, "a", 2) is None
    assert probes.answered(probe.number, "a", 1) is probe
    assert probes.answered(probe.number, "a", 1) is None


def test_a_member_is_probed_once_at_a_time() -> None:
    probes = Probes(0)
    assert probes.start("a", 1, 10.0, 0.2) is not None
    assert probes.start("a", 1, 10.1, 0.2) is None


def test_a_helper_says_nack_before_the_asker_judges_and_still_passes_a_late_answer_on() -> None:
    probes = Probes(0)
    number = probes.relay("tcp://asker", 77, "a", 10.0, 0.2)
    assert number is not None
    assert probes.due(10.15).nacks == [("tcp://asker", 77)]
    assert probes.due(10.2).nacks == []
    assert probes.relayed(number, "b") is None
    assert probes.relayed(number, "a") == ("tcp://asker", 77)
    assert probes.relayed(number, "a") is None


def test_nacks_count_up_to_the_number_of_helpers() -> None:
    probes = Probes(0)
    probe = probes.start("a", 1, 10.0, 0.2)
    assert probe is not None
    probe.asked = 2
    for _ in range(5):
        probes.nacked(probe.number)
    assert probe.nacks == 2


def test_probes_and_relays_are_limited_and_end_by_themselves() -> None:
    probes = Probes(0)
    started = [probes.start(str(number), 1, 10.0, 0.2) for number in range(PROBES_MAX + 1)]
    relays = [probes.relay("x", number, "a", 10.0, 0.2) for number in range(RELAYS_MAX + 1)]
    assert started[-1] is None and relays[-1] is None
    probes.due(11.0)
    assert probes.start("new", 1, 11.0, 0.2) is not None
    assert probes.relay("x", 1, "a", 11.0, 0.2) is not None
