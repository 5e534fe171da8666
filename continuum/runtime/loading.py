"""How an engine reads the runs that it holds: many small ones at a time, large ones a few, and the largest alone.

::

    wanted ── weigh ──► light ──► loaded, all together
                  └───► heavy ── is there room? ──► loaded, no more than READ_BYTES_MAX together
                                      └──no──► waits until heavy runs have ended, or rest and were given back

A history may be larger than the process's memory (B7). So one that is larger than a whole read is read alone, and
noted meanwhile as code is that runs: should the process die of it, the run is blamed, and resumed alone (B4). If it
cannot be read for want of memory or time, and nobody dies, the engine blames it itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from continuum.core.loop import note_reading
from continuum.errors import JournalError
from continuum.ports.journal import READ_BYTES_MAX, Lease, LoadedRun, Weight
from continuum.ports.offload import Desk, Lane
from continuum.runtime.asking import Asking
from continuum.runtime.live import LiveRun

LOADS_MAX = 100
HEAVY_BYTES = 65_536
Found = tuple[list[LoadedRun], dict[Lease, Weight]]


class Burden:
    """The heavy runs that an engine has in memory, and what they weigh: their arguments, and a history that is larger
    than a whole read. ``crowded``: others wait for room."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._weights: dict[bytes, int] = {}
        self._total = 0
        self.crowded = False

    def __len__(self) -> int:
        return len(self._weights)

    def __contains__(self, run: bytes) -> bool:
        return run in self._weights

    def has_room(self, weights: Iterable[Weight]) -> bool:
        """Say whether such runs may come. One that is larger than all room may come when there is no other."""
        lasting = [_lasting(weight) for weight in weights]
        alone = self._total == 0 and len(lasting) == 1
        return alone or self._total + sum(lasting) <= self._bytes_max

    def add(self, run: bytes, weight: Weight) -> None:
        """The run is in memory now."""
        self.drop(run)
        lasting = _lasting(weight)
        if lasting:
            self._weights[run] = lasting
            self._total += lasting

    def drop(self, run: bytes) -> None:
        """The run is in memory no more."""
        if self._weights:
            self._total -= self._weights.pop(run, 0)


class Loading:
    """``loaded(lease, run)`` is called for every lease asked for, with None for one that is not held any more,
    ``unfit(lease, error)`` for one whose rows cannot be read, whatever happens, and ``too_large(lease)`` for one for
    which there is not the memory or the time. ``runs``: those that the engine has."""

    def __init__(
        self,
        asking: Asking,
        burden: Burden,
        runs: Mapping[bytes, LiveRun],
        loaded: Callable[[Lease, LoadedRun | None], None],
        unfit: Callable[[Lease, JournalError], None],
        too_large: Callable[[Lease], None],
    ) -> None:
        self._asking, self._burden, self._runs = asking, burden, runs
        self._loaded, self._unfit, self._too_large = loaded, unfit, too_large
        self._at_once = LOADS_MAX  # one while it is to be found out which run cannot be read
        self._wanted: dict[bytes, Lease] = {}
        self._heavy: dict[bytes, tuple[Lease, Weight]] = {}  # weighed, and not read yet
        self._asked: dict[bytes, Lease] = {}
        self._plain: set[bytes] = set()  # to be loaded without their snapshots
        self._heavy_next = False  # whose turn it is, when there are both

    def __contains__(self, run: bytes) -> bool:
        return run in self._wanted or run in self._asked or run in self._heavy

    @property
    def idle(self) -> bool:
        return not self._wanted and not self._asked and not self._heavy

    def want(self, lease: Lease, snapshots: bool = True) -> None:
        run = lease.run_id.bytes
        if not snapshots:
            self._plain.add(run)
        known = self._asked.get(run) or (self._heavy[run][0] if run in self._heavy else None)
        if known is None or known.token < lease.token:
            self._heavy.pop(run, None)
            self._wanted[run] = lease

    def tick(self) -> None:
        if self._asked:
            return
        if self._heavy and (self._heavy_next or not self._wanted):
            self._heavy_next = False
            self._read_heavy()
        if self._wanted and not self._asked:
            self._heavy_next = True
            self._read()
        self._burden.crowded = bool(self._heavy) and not self._asked

    def _read(self) -> None:
        plain = {run: self._wanted[run] for run in self._plain if run in self._wanted}
        snapshots = not plain
        chosen = self._wanted if snapshots else plain
        self._asked = dict(list(chosen.items())[: self._at_once])
        for run in self._asked:
            del self._wanted[run]
        leases = list(self._asked.values())

        def read(desk: Desk) -> Found:
            weights = desk.journal.weigh(leases, snapshots)
            heavy = {lease: weight for lease, weight in weights.items() if sum(weight) > HEAVY_BYTES}
            light = [lease for lease in leases if lease not in heavy]
            return desk.journal.load(light, snapshots), heavy

        self._asking.ask(Lane.READ, read, self._done, lambda error: self._refused(error, snapshots))

    def _read_heavy(self) -> None:
        chosen = self._choose()
        if not chosen:
            return
        snapshots = next(iter(chosen)) not in self._plain
        weights = {self._heavy.pop(run)[0]: weight for run, weight in chosen.items()}
        leases = list(weights)
        self._asked = {lease.run_id.bytes: lease for lease in leases}
        alone = leases[0] if sum(weights[leases[0]]) > READ_BYTES_MAX else None
        if alone is not None:
            note_reading(alone.run_id.bytes)

        def give_up() -> None:
            assert alone is not None, "several small reads are not given up"
            self._give_up(alone)

        def done(found: list[LoadedRun] | None) -> None:
            if found is None:
                give_up()
                return
            self._done((found, {}), weights)
            note_reading(None)

        def refused(error: JournalError) -> None:
            note_reading(None)
            self._refused(error, snapshots)

        work = lambda desk: _load(desk, leases, snapshots, alone is not None)  # noqa: E731
        self._asking.ask(Lane.READ, work, done, refused, give_up if alone is not None else None)

    def _refused(self, error: JournalError, snapshots: bool) -> None:
        """One of them cannot be read: they are asked for one by one, until it is found."""
        asked, self._asked = self._asked, {}
        self._at_once = 1
        if len(asked) == 1:
            self._at_once = LOADS_MAX
            for run, lease in asked.items():
                if snapshots:
                    self.want(lease, snapshots=False)
                elif run not in self._wanted:
                    self._plain.discard(run)
                    self._unfit(lease, error)
            return
        for run, lease in asked.items():
            self._wanted.setdefault(run, lease)

    def _choose(self) -> dict[bytes, Weight]:
        """Return which of the heavy runs are read next: those for which there is room, and few enough."""
        chosen: dict[bytes, Weight] = {}
        total = 0
        for run, (_, weight) in list(self._heavy.items())[: self._at_once]:
            same = not chosen or (run in self._plain) == (next(iter(chosen)) in self._plain)
            if same and self._burden.has_room([*chosen.values(), weight]):
                total += sum(weight)
                if chosen and total > READ_BYTES_MAX:
                    break
                chosen[run] = weight
        return chosen

    def _give_up(self, lease: Lease) -> None:
        note_reading(None)
        self._asked = {}
        self._plain.discard(lease.run_id.bytes)
        self._too_large(lease)

    def _done(self, answer: Found, weights: Mapping[Lease, Weight] | None = None) -> None:
        found, heavy = answer
        asked, self._asked = self._asked, {}
        if not self._wanted and not self._heavy:
            self._at_once = LOADS_MAX
        by_lease = {(loaded.run.run_id, loaded.run.token): loaded for loaded in found}
        for run, lease in asked.items():
            if lease in heavy:
                if run not in self._wanted:
                    self._heavy[run] = (lease, heavy[lease])
                continue
            self._plain.discard(run)
            self._loaded(lease, by_lease.get((lease.run_id, lease.token)))
            if weights is not None and run in self._runs:
                self._burden.add(run, weights[lease])


def _load(desk: Desk, leases: Sequence[Lease], snapshots: bool, alone: bool) -> list[LoadedRun] | None:
    """Load; None if there is not the memory for one that is read alone."""
    try:
        return desk.journal.load(leases, snapshots)
    except MemoryError:
        if not alone:
            raise
    except JournalError as error:
        if not alone or "memory" not in error.reason:
            raise
    return None


def _lasting(weight: Weight) -> int:
    """Return what of a run's weight stays when it is loaded."""
    arguments = weight.arguments if weight.arguments > HEAVY_BYTES else 0
    return arguments + (weight.history if weight.history > READ_BYTES_MAX else 0)
