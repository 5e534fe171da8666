"""Steps of runs as a random walk chooses them: without what two stores name differently."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from continuum.model.run import RunSeed, RunState
from continuum.ports.journal import Lease, Mail, RunCommit
from tests.integration.conformance.scene import Store, cancel_event, due_timer, events, far_timer, task


@dataclass(frozen=True)
class Held:
    """One lease as each store knows it."""

    run_id: UUID
    tokens: tuple[int, int]

    def in_store(self, side: int) -> Lease:
        return Lease(self.run_id, self.tokens[side])


@dataclass(frozen=True)
class Family:
    """What a step does to other runs."""

    started: dict[int, UUID]  # by command
    consumed_count: int
    cancelled: tuple[int, ...]
    successor: UUID | None
    sees_cancel: bool


@dataclass(frozen=True)
class Step:
    """A ``RunCommit`` but for what the stores name differently."""

    held: Held
    base_seq: int
    event_count: int
    state: RunState
    timers: dict[int, bool | None]  # due or far; None: clear
    tasks: dict[int, int | None]  # attempt to queue; None: clear
    queue: str
    signal_count: int
    family: Family

    def in_store(self, store: Store, side: int) -> RunCommit:
        lease, family = self.held.in_store(side), self.family
        mails = store.journal.mail([lease])
        mail = mails[0] if mails else Mail(lease.run_id)
        row = store.catalog.get(lease.run_id)
        last = self.base_seq + self.event_count
        timers = [
            (due_timer if due else far_timer)(seq) for seq, due in self.timers.items() if due is not None
        ]
        return RunCommit(
            lease.run_id,
            lease.token,
            self.base_seq,
            (*events(self.base_seq + 1, last), *([cancel_event(last + 1)] if family.sees_cancel else [])),
            self.state,
            result=b"result" if self.state == "completed" else None,
            error=b"error" if self.state == "failed" else None,
            timers_set=timers,
            timers_cleared=[seq for seq, due in self.timers.items() if due is None],
            signals_consumed=[signal.id for signal in mail.signals[: self.signal_count]],
            tasks_set=[task(seq, n, queue=self.queue) for seq, n in self.tasks.items() if n is not None],
            tasks_cleared=[seq for seq, n in self.tasks.items() if n is None],
            children_started=[
                _seed(child, lease.run_id, command) for command, child in family.started.items()
            ],
            children_consumed=sorted(end.child_id for end in mail.children)[: family.consumed_count],
            children_cancelled=family.cancelled,
            successor=None if family.successor is None else _seed(family.successor),
            is_child=row is None or row.parent_run_id is not None,
        )


def _seed(run_id: UUID, parent: UUID | None = None, command: int | None = None) -> RunSeed:
    return RunSeed(id=run_id, workflow="w", args=b"args", parent_run_id=parent, parent_command=command)
