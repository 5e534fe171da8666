"""Group commit: the changed runs go into the journal together, two groups side by side (idea 4).

While both groups are under way, changes gather; so a busy engine makes large groups and an idle one waits for
nobody. No timer decides.

A group is bounded by the bytes in it as well: what is too much for the database in its time would be asked for in the
same size for ever. For the same reason a group that took too long is asked for again in two halves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from uuid import UUID

from continuum.errors import JournalError
from continuum.ports.journal import RunCommit
from continuum.ports.offload import CommitWork, Lane
from continuum.runtime.asking import Asking
from continuum.runtime.limits import GROUP_BYTES_MAX
from continuum.runtime.live import Flight, LiveRun
from continuum.runtime.outgoing import Outgoing
from continuum.wire.messages import Key

GROUPS_MAX = 2
GROUP_RUNS_MAX = 500
STEP_BYTES_MAX = 512 << 20  # a parameter of a statement holds a gigabyte
_NONE: Sequence[Key] = ()
ANNOUNCED_MAX = 8  # a group as small as this tells the waiting clients itself, if no other is under way


class Commits:
    """``settle(flights, written)`` is called for every finished group, with the runs whose part was written;
    ``broken(run, error)`` for one whose step cannot be told or written, which must not stop the others."""

    def __init__(
        self,
        asking: Asking,
        settle: Callable[[Sequence[Flight], Set[UUID]], None],
        broken: Callable[[LiveRun, Exception], None],
        outgoing: Outgoing,
    ) -> None:
        self._asking, self._settle, self._broken, self._outgoing = asking, settle, broken, outgoing
        self._dirty: dict[bytes, LiveRun] = {}
        self._groups = 0
        self.commits = self.steps = 0  # made, and steps of runs in them
        self.spill = False  # draining: attempts that have not begun go into task rows

    @property
    def idle(self) -> bool:
        return not self._dirty and not self._groups

    @property
    def room(self) -> int:
        """How many more runs may change until the next group is full."""
        return GROUP_RUNS_MAX - len(self._dirty)

    def touch(self, run: LiveRun) -> None:
        """The run may have changed: it goes with the next group, after the one that it is in."""
        if run.committing:
            run.again = True
        elif run.dirty:
            self._dirty[run.id] = run

    def changed(self, run: LiveRun) -> None:
        """As `touch`, of a run that certainly has changed."""
        if run.committing:
            run.again = True
        else:
            self._dirty[run.id] = run

    def forget(self, run: LiveRun) -> None:
        """The run is not ours any more: nothing of it is written."""
        if self._dirty.get(run.id) is run:
            del self._dirty[run.id]

    def tick(self) -> None:
        while self._dirty and self._groups < GROUPS_MAX:
            chosen = list(self._dirty.values())[:GROUP_RUNS_MAX]
            if len(chosen) == len(self._dirty):
                self._dirty = {}
            else:
                for run in chosen:
                    del self._dirty[run.id]
            self._send(chosen)

    def _send(self, runs: list[LiveRun]) -> None:
        flights, weight = [], 0
        for index, run in enumerate(runs):
            if weight >= GROUP_BYTES_MAX:
                self._dirty = {later.id: later for later in runs[index:]} | self._dirty
                break
            try:
                commit, step = run.take(self.spill)
                weight += weight_of(commit)
            except Exception as error:  # noqa: BLE001 - user code may have made anything of it
                self._broken(run, error)
                continue
            run.committing, run.again = True, False
            flights.append(Flight(run, commit, step, list(run.unsettled) if run.unsettled else _NONE))
        if not flights:
            return
        announce = self._groups == 0 and len(flights) <= ANNOUNCED_MAX
        if announce:
            for flight in flights:
                flight.announced = True
        self._ask(flights, announce)

    def _ask(self, flights: Sequence[Flight], announce: bool) -> None:
        self._groups += 1
        told = self._outgoing.told()

        def done(written: Set[UUID]) -> None:
            if told is not None:
                self._outgoing.tell(told)
            self._groups -= 1
            self.commits += 1
            self.steps += len(flights)
            self._settle(flights, written)

        self._asking.ask(
            Lane.COMMIT,
            CommitWork([flight.commit for flight in flights], announce, told),
            done,
            lambda error: self._refused(flights, error),
            (lambda: self._halve(flights)) if len(flights) > 1 else None,
        )

    def _refused(self, flights: Sequence[Flight], error: JournalError) -> None:
        """The group cannot be written as it is, whatever happens: find whose fault it is by writing it in halves."""
        if len(flights) > 1:
            self._halve(flights)
        else:
            self._groups -= 1
            self._broken(flights[0].run, error)

    def _halve(self, flights: Sequence[Flight]) -> None:
        """Write the group in halves. What a part of it has written already, the journal refuses the second time."""
        self._groups -= 1
        middle = len(flights) // 2
        for flight in flights:
            flight.announced = False
        self._ask(flights[:middle], announce=False)
        self._ask(flights[middle:], announce=False)


def weight_of(commit: RunCommit) -> int:
    """Return the bytes of users' values in a commit.

    Raises:
        ValueError: they are more than one step may have.
    """
    weight = len(commit.result or b"") + len(commit.error or b"")
    for event in commit.events:
        weight += len(event.payload)
    if commit.tasks_set or commit.children_started or commit.successor is not None:
        weight += sum(len(task.args) + len(task.last_heartbeat or b"") for task in commit.tasks_set)
        weight += sum(len(child.args) for child in commit.children_started)
        weight += len(commit.successor.args) if commit.successor is not None else 0
    if weight > STEP_BYTES_MAX:
        raise ValueError(
            f"one step of it has {weight >> 20:,} MiB of values, and {STEP_BYTES_MAX >> 20:,} MiB are the most: let it "
            "begin fewer things at once, or pass references to large values"
        )
    return weight
