"""Random operations on both stores at once: every answer and everything that can be seen must be the same.

The memory store is the specification. Ids of runs are the test's own; tokens and ids of signals differ between the
stores and are mapped. Moments are either long past or an hour away, so that the two clocks decide alike.
A failure is a seed, and the operations that led to it stand in its message.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar
from uuid import UUID

import pytest

from continuum.model.run import RunSeed, RunState
from continuum.ports.catalog import Cancelled
from continuum.ports.journal import (
    ClaimedRun,
    KeptResult,
    Lease,
    Release,
    ResultKey,
    TaskOutcome,
)
from tests.integration.conformance import views
from tests.integration.conformance.random_steps import Family, Held, Step
from tests.integration.conformance.scene import (
    ENDED,
    HOUR_S,
    Store,
    ticking_store,
)

SEEDS = range(20)
OPERATION_COUNT = 100
RUNS = [UUID(int=n) for n in range(1, 25)]
ROOTS = RUNS[:8]
OWNERS = ["n1/default/engine-1/b1-1", "n1/default/engine-2/b1-2", "n2/default/engine-1/b2-1"]
WORKERS = ["w1", "w2"]
QUEUES = ["default", "gpu"]
NAMES = [ResultKey("shop.charge", "o1"), ResultKey("shop.charge", "o2"), ResultKey("shop.refund", "o1")]
SEQS = [1, 2, 3, 4]
STATES: dict[RunState, int] = {"running": 30, "suspended": 1, **dict.fromkeys(ENDED, 1)}

T = TypeVar("T")
TaskKey = tuple[UUID, int, int]  # run, seq, attempt


@dataclass
class Comparison:
    """Two stores, and every lease and claimed task that was ever given, stale ones too."""

    stores: tuple[Store, Store]
    random: random.Random
    leases: list[Held] = field(default_factory=list)
    claimed: list[tuple[str, TaskKey]] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)

    def agree(
        self,
        what: str,
        operation: Callable[[Store, int], T],
        seen: Callable[[T], object] = lambda answer: answer,
    ) -> T:
        """Do it in both stores; return the memory store's answer, the other one's being the same as ``seen``."""
        answers = [operation(store, side) for side, store in enumerate(self.stores)]
        told = "\n".join([*self.trace[-12:], what])
        assert seen(answers[1]) == seen(answers[0]), f"PostgreSQL (left) and memory disagree after\n{told}"
        return answers[0]

    def act(
        self,
        what: str,
        operation: Callable[[Store, int], T],
        seen: Callable[[T], object] = lambda answer: answer,
    ) -> T:
        answer = self.agree(what, operation, seen)
        self.trace.append(f"{what} -> {seen(answer)}")
        return answer

    # What is chosen

    def pick(self, choices: list[T], count: int) -> list[T]:
        return self.random.sample(choices, self.random.randint(0, count))

    def held(self, limit: int) -> list[Held]:
        """Choose up to ``limit`` runs that were leased, and of each mostly the latest lease."""
        of_run: dict[UUID, list[Held]] = {}
        for held in self.leases:
            of_run.setdefault(held.run_id, []).append(held)
        runs = self.random.sample(list(of_run.values()), min(limit, len(of_run)))
        return [self.random.choice(leases) if self.random.random() < 0.2 else leases[-1] for leases in runs]

    def task(self) -> tuple[str, TaskKey]:
        """Choose a task that was claimed, and mostly its claimer."""
        claimer, key = self.random.choice(self.claimed[-6:])
        return (self.random.choice(OWNERS) if self.random.random() < 0.2 else claimer), key

    def step(self, held: Held) -> Step:
        choice = self.random.choice
        last_seq = len(self.stores[0].catalog.events(held.run_id))
        bare = self.random.random() < 0.4  # as most steps are: events and nothing else
        return Step(
            held=held,
            base_seq=max(0, last_seq + choice([0] * 10 + [-1, 1])),
            event_count=choice([0, 1, 1, 2, 3]),
            state=self.random.choices(list(STATES), list(STATES.values()))[0],
            timers={} if bare else {seq: choice([True, False, None]) for seq in self.pick(SEQS, 2)},
            tasks={} if bare else {seq: choice([1, 1, 2, 3, None]) for seq in self.pick(SEQS, 3)},
            queue=choice(QUEUES),
            signal_count=0 if bare else choice([0, 1, 2]),
            family=Family({}, 0, (), None, False),
        )

    def familial(self, step: Step, free: list[UUID]) -> Step:
        """Let the step start, consume and cancel children, or continue its run; ids come from ``free``."""
        chance = self.random.random
        started: dict[int, UUID] = {}
        for command in self.pick(SEQS, 2):
            if chance() < 0.5 and free:
                started[command] = free.pop()
        state, successor = step.state, None
        if chance() < 0.1 and free:
            state, successor = "continued", free.pop()
        cancelled = tuple(self.pick(SEQS, 1)) if chance() < 0.3 else ()
        family = Family(started, self.random.choice([0, 1, 2]), cancelled, successor, chance() < 0.2)
        return replace(step, state=state, family=family)

    def free_ids(self) -> list[UUID]:
        """Return the ids of runs that do not exist, in random order."""
        free = [run_id for run_id in RUNS if self.stores[0].catalog.get(run_id) is None]
        return self.random.sample(free, len(free))

    def hold(self, tokens: list[dict[UUID, int]]) -> None:
        """Note new leases, given as tokens by run for each store."""
        assert tokens[0].keys() == tokens[1].keys()
        for side, new in enumerate(tokens):
            newest = max((held.tokens[side] for held in self.leases), default=0)
            assert all(token > newest for token in new.values()), "tokens only grow"
        self.leases += [Held(run_id, (token, tokens[1][run_id])) for run_id, token in tokens[0].items()]

    # What is done

    def register(self) -> None:
        owner, ttl_s = self.random.choice(OWNERS), self.random.choice([HOUR_S, HOUR_S, HOUR_S, -1.0])
        self.act(
            f"register {owner} {ttl_s}",
            lambda store, _: store.dispatch.register(owner, "n", "ipc://n", ttl_s) > 0,
        )

    def heartbeat(self) -> None:
        owner = self.random.choice(OWNERS)
        self.act(f"heartbeat {owner}", lambda store, _: store.dispatch.heartbeat(owner, HOUR_S) is None)

    def retire(self) -> None:
        owner = self.random.choice(OWNERS)
        self.act(f"retire {owner}", lambda store, _: store.dispatch.retire([owner]))

    def insert(self) -> None:
        ids = self.random.choices(ROOTS, k=self.random.choice([1, 2]))
        delay_s, owner = self.random.choice([0.0, HOUR_S]), self.random.choice([None, *OWNERS])
        seeds = [RunSeed(id=run_id, workflow="w", args=b"args", delay_s=delay_s) for run_id in ids]
        tokens: list[dict[UUID, int]] = [{}, {}]

        def insert(store: Store, side: int) -> list[tuple[UUID, bool, bool]]:
            inserted = store.catalog.insert(seeds, owner=owner)
            tokens[side] = {row.run_id: row.token for row in inserted if row.token is not None}
            return [(row.run_id, row.created, row.token is None) for row in inserted]

        self.act(f"insert {ids} for {owner} in {delay_s}", insert)
        self.hold(tokens)

    def claim(self) -> None:
        owner = self.random.choice(OWNERS)
        tokens: list[dict[UUID, int]] = [{}, {}]

        def claim(store: Store, side: int) -> list[ClaimedRun]:
            claimed = store.dispatch.claim(owner, 100)
            tokens[side] = {run.run_id: run.token for run in claimed}
            return sorted((views.without_token(run) for run in claimed), key=lambda run: run.run_id)

        self.act(f"claim {owner}", claim)
        self.hold(tokens)

    def commit(self) -> None:
        free = self.free_ids()
        steps = [self.step(held) for held in self.held(2)]
        steps = [self.familial(step, free) if self.random.random() < 0.5 else step for step in steps]
        written = self.act(
            f"commit {steps}",
            lambda store, side: store.journal.commit([step.in_store(store, side) for step in steps]),
        )
        self.leases += [
            Held(step.family.successor, step.held.tokens)
            for step in steps
            if step.family.successor is not None and step.held.run_id in written
        ]

    def release(self) -> None:
        chosen, due_in_s = self.held(2), self.random.choice([None, 0.0, HOUR_S])
        attention, knows = self.random.choice([None, "parked"]), self.random.random() < 0.5

        def release(store: Store, side: int) -> None:
            releases = []
            for held in chosen:
                lease = held.in_store(side)
                ends = [end for mail in store.journal.mail([lease]) for end in mail.children]
                seen = tuple(end.child_id for end in ends) if knows else ()
                releases.append(Release(lease.run_id, lease.token, due_in_s, attention, seen_children=seen))
            store.journal.release(releases)

        self.act(f"release {chosen} in {due_in_s}, {attention}, {knows}", release)

    def signal(self) -> None:
        run_id, delivery_id = self.random.choice(RUNS), self.random.choice([None, None, "d1", "d2"])
        self.act(
            f"signal {run_id} {delivery_id}",
            lambda store, _: store.catalog.signal(run_id, "approved", b"payload", delivery_id),
        )

    def cancel(self) -> None:
        run_id, reason = self.random.choice(RUNS), self.random.choice([None, "why"])
        cleanup_s = self.random.choice([None, None, HOUR_S, -HOUR_S])

        def cancel(store: Store, _: int) -> Cancelled:
            return store.catalog.cancel(run_id, reason, cleanup_s)

        self.act(f"cancel {run_id} {cleanup_s}", cancel)

    def end_overdue_cancels(self) -> None:
        self.act("end overdue cancels", lambda store, _: sorted(store.dispatch.end_overdue_cancels()))

    def set_attributes(self) -> None:
        run_id, attributes = self.random.choice(RUNS), {self.random.choice("ab"): self.random.randint(0, 9)}
        self.act(
            f"attributes {run_id} {attributes}",
            lambda store, _: store.catalog.set_attributes(run_id, attributes),
        )

    def claim_tasks(self) -> None:
        claimer, queues = self.random.choice(OWNERS), self.random.choice([QUEUES, QUEUES[:1], []])
        claimed = self.act(
            f"claim tasks {claimer} {queues}",
            lambda store, _: store.dispatch.claim_tasks(claimer, queues, 100),
            lambda rows: sorted(rows, key=lambda row: (row.run_id, row.seq)),
        )
        self.claimed += [(claimer, (row.run_id, row.seq, row.attempt)) for row in claimed]

    def assign_task(self) -> None:
        if self.claimed:
            (claimer, key), worker = self.task(), self.random.choice(WORKERS)
            self.act(
                f"assign {claimer} {key} {worker}",
                lambda store, _: store.dispatch.assign_task(claimer, [key], worker),
            )

    def return_tasks(self) -> None:
        if self.claimed:
            claimer, key = self.task()
            self.act(f"return {claimer} {key}", lambda store, _: store.dispatch.return_tasks(claimer, [key]))

    def lose_tasks(self) -> None:
        if self.claimed:
            (claimer, _), worker = self.task(), self.random.choice([None, *WORKERS])
            self.act(
                f"lose {claimer} {worker}",
                lambda store, _: store.dispatch.lose_tasks(claimer, worker),
                views.by_run,
            )

    def lose_orphans(self) -> None:
        self.act("lose orphans", lambda store, _: store.dispatch.lose_orphans(), views.by_run)

    def note_heartbeats(self) -> None:
        if self.claimed:
            (claimer, key), details = self.task(), self.random.choice([b"near", b"far"])
            self.act(
                f"beat {claimer} {key} {details!r}",
                lambda store, _: store.dispatch.note_heartbeats(claimer, [(key, details)]),
            )

    def keep(self) -> None:
        chosen = [
            (held, self.random.choice(NAMES), self.random.choice([b"a", b"b"])) for held in self.held(3)
        ]
        self.act(
            f"keep {chosen}",
            lambda store, side: store.journal.keep(
                [KeptResult(h.run_id, h.tokens[side], 1, name, payload) for h, name, payload in chosen]
            ),
        )

    def offer_outcomes(self) -> None:
        keys = {
            (self.random.choice(RUNS), self.random.choice(SEQS)): self.random.randint(1, 3) for _ in range(2)
        }
        outcomes = [
            TaskOutcome(run_id, seq, n, n != 2, b"payload", n == 2, b"beat" if n == 2 else b"")
            for (run_id, seq), n in keys.items()
        ]
        self.act(f"offer {outcomes}", lambda store, _: store.dispatch.offer_outcomes(outcomes), views.by_run)

    def due_timers(self) -> None:
        keys = [(run_id, seq) for run_id in self.pick(RUNS, 3) for seq in SEQS]

        def due_timers(store: Store, _: int) -> list[tuple[UUID, int, str | None]]:
            due, near = store.mailbox.due_timers(keys)
            told = [(row.run_id, row.seq, f"due: {row.owner}") for row in due]
            return sorted(told + [(row.run_id, row.seq, "near") for row in near])

        self.act(f"due timers {keys}", due_timers)

    # What can be seen

    def compare(self) -> None:
        self.agree("reading rows", lambda store, _: views.rows(store))
        self.agree("reading endings", lambda store, _: store.catalog.endings(RUNS))
        self.agree("reading kept results", lambda store, _: store.dispatch.results(NAMES))
        self.agree("reading unread runs", lambda store, _: store.mailbox.unread(OWNERS, 100), views.by_run)
        self.agree("reading timers", lambda store, _: views.timers(store))
        self.agree("reading what is due", lambda store, _: views.due(store, QUEUES))
        self.agree("loading", lambda store, side: views.loaded(store, self.leases_in(side)))
        self.agree("reading mail", lambda store, side: views.mails(store, self.leases_in(side)))

    def leases_in(self, side: int) -> list[Lease]:
        return [held.in_store(side) for held in self.leases]


OPERATIONS: dict[Callable[[Comparison], None], int] = {
    Comparison.commit: 10,
    Comparison.claim: 5,
    Comparison.signal: 4,
    Comparison.offer_outcomes: 4,
    Comparison.claim_tasks: 4,
    Comparison.insert: 3,
    Comparison.release: 3,
    Comparison.register: 2,
    Comparison.assign_task: 2,
    Comparison.return_tasks: 2,
    Comparison.lose_tasks: 2,
    Comparison.due_timers: 2,
    Comparison.note_heartbeats: 2,
    Comparison.keep: 2,
    Comparison.heartbeat: 1,
    Comparison.retire: 1,
    Comparison.lose_orphans: 1,
    Comparison.cancel: 2,
    Comparison.end_overdue_cancels: 1,
    Comparison.set_attributes: 1,
}


@pytest.mark.parametrize("seed", SEEDS)
def test_random_operations_have_the_same_answers_and_effects(postgres: Store, seed: int) -> None:
    comparison = Comparison((ticking_store(), postgres), random.Random(seed))
    for store in comparison.stores:
        for owner in OWNERS:
            store.dispatch.register(owner, "n", "ipc://n", HOUR_S)
    for operation in comparison.random.choices(
        list(OPERATIONS), list(OPERATIONS.values()), k=OPERATION_COUNT
    ):
        operation(comparison)
        comparison.compare()
    comparison.agree("reading all events", lambda store, _: views.histories(store, RUNS))
