"""How much goes into one answer of a store: batches are bounded by their bytes as well as by their number."""

from __future__ import annotations

from uuid import uuid4

from continuum.ports.journal import (
    CLAIM_ARGS_MAX,
    READ_BYTES_MAX,
    KeptResult,
    Lease,
    ResultKey,
    TaskOutcome,
    TaskRow,
    Weight,
)
from tests.integration.conformance.scene import OWNER, Scene, step

MIB = bytes(1 << 20)
ROOM = READ_BYTES_MAX >> 20  # so many of these go into one answer


def test_large_arguments_do_not_travel_with_a_claim_and_are_loaded(scene: Scene) -> None:
    scene.insert(args=MIB)
    (claimed,) = scene.dispatch.claim_due(OWNER, 10)
    assert (claimed.args, claimed.fresh) == (b"", False)
    assert scene.load(Lease(claimed.run_id, claimed.token)).run.args == MIB


def test_arguments_of_the_limit_travel_with_either_claim(scene: Scene) -> None:
    args = bytes(CLAIM_ARGS_MAX)
    scene.insert(args=args)
    (claimed,) = scene.dispatch.claim_due(OWNER, 10)
    assert (claimed.args, claimed.fresh) == (args, True)
    scene.insert(args=args)
    (claimed,) = scene.dispatch.claim(OWNER, 10)
    assert (claimed.args, claimed.fresh) == (args, True)


def test_a_run_is_weighed_before_it_is_loaded(scene: Scene) -> None:
    lease, stale = scene.leased(), Lease(uuid4(), 1)
    scene.commit(step(lease, 0, 3))
    (weight,) = scene.journal.weigh([lease, stale]).values()
    loaded = scene.load(lease)
    assert weight == Weight(len(loaded.run.args), sum(64 + len(event.payload) for event in loaded.events))


def test_an_answer_has_a_bounded_weight_of_signals_and_says_that_there_are_more(scene: Scene) -> None:
    lease = scene.leased()
    for number in range(ROOM + 3):
        scene.catalog.signal(lease.run_id, "go", bytes([number]) + MIB[1:], None)
    (first,) = scene.journal.mail([lease])
    assert [signal.payload[0] for signal in first.signals] == list(range(ROOM))
    assert first.more
    (rest,) = scene.journal.mail([lease], [first.signals[-1].id])
    assert [signal.payload[0] for signal in rest.signals] == [ROOM, ROOM + 1, ROOM + 2]
    assert not rest.more
    assert scene.load(lease).mail == first


def test_runs_for_whose_signals_there_was_no_room_have_more_and_others_have_not(scene: Scene) -> None:
    leases = sorted([scene.leased() for _ in range(3)], key=lambda lease: lease.run_id.int)
    for _ in range(ROOM + 1):
        scene.catalog.signal(leases[1].run_id, "go", MIB, None)
    for lease in (leases[0], leases[2]):
        scene.catalog.signal(lease.run_id, "go", b"1", None)
    mails = scene.journal.mail(leases)
    assert [(len(mail.signals), mail.more) for mail in mails] == [(1, False), (ROOM, True), (0, True)]


def test_an_answer_has_a_bounded_weight_of_outcomes_and_what_is_left_counts_as_open(scene: Scene) -> None:
    lease = scene.leased()
    seqs = range(1, ROOM + 3)
    outcomes = [TaskOutcome(lease.run_id, seq, 1, True, MIB) for seq in seqs]
    for outcome in outcomes:
        scene.dispatch.offer_outcomes([outcome])
    loaded = scene.load(lease)
    assert [outcome.seq for outcome in loaded.mail.outcomes] == list(seqs)[:ROOM]
    assert loaded.mail.more
    assert loaded.open_tasks == tuple(seqs)[ROOM:]
    scene.commit(step(lease, tasks_cleared=tuple(seqs)[:ROOM]))
    mail = scene.mail(lease)
    assert [outcome.seq for outcome in mail.outcomes] == list(seqs)[ROOM:]
    assert not mail.more


def test_an_answer_has_a_bounded_weight_of_the_ends_of_children(scene: Scene) -> None:
    parent = scene.leased()
    children = [scene.child(parent) for _ in range(ROOM + 2)]
    for child in children:
        scene.commit(step(child, state="completed", result=MIB))
    mail = scene.mail(parent)
    assert len(mail.children) == ROOM
    assert mail.more
    scene.commit(
        step(
            parent,
            len(scene.seqs(parent.run_id)),
            children_consumed=tuple(end.child_id for end in mail.children),
        )
    )
    mail = scene.mail(parent)
    assert len(mail.children) == 2
    assert not mail.more


def test_a_claim_has_a_bounded_weight_of_tasks(scene: Scene) -> None:
    lease = scene.leased()
    rows = [TaskRow(seq, 1, "shop.charge", MIB, "default") for seq in range(1, ROOM + 4)]
    for row in rows:
        scene.commit(step(lease, tasks_set=(row,)))
    claim = scene.dispatch.claim_tasks
    assert [task.seq for task in claim(OWNER, ["default"], 100)] == list(range(1, ROOM + 1))
    assert [task.seq for task in claim(OWNER, ["default"], 100)] == list(range(ROOM + 1, ROOM + 4))


def test_large_outcomes_are_all_found_by_those_who_wait_for_them(scene: Scene) -> None:
    leases = [scene.leased() for _ in range(ROOM + 4)]
    for lease in leases:
        scene.commit(step(lease, state="completed", result=lease.run_id.bytes + MIB))
    endings = scene.catalog.endings([lease.run_id for lease in leases])
    assert {run_id: ending.result for run_id, ending in endings.items()} == {
        lease.run_id: lease.run_id.bytes + MIB for lease in leases
    }


def test_large_kept_results_are_all_found(scene: Scene) -> None:
    lease = scene.leased()
    names = [ResultKey("shop.charge", f"{lease.run_id}/{number}") for number in range(ROOM + 4)]
    for name in names:
        assert scene.journal.keep([KeptResult(lease.run_id, lease.token, 1, name, MIB)]) == [MIB]
    assert scene.dispatch.results(names) == dict.fromkeys(names, MIB)
