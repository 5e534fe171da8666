"""What an engine asks the journal about results that are kept by idempotency key (A10).

::

    attempt is durable ── look up ──► kept: the activity completes with it, the body does not run
                                └───► let out ── result ── keep ──► whatever is kept now is what the run takes

The run never takes its own result but what ``keep`` answers: so two runs that race agree, and a crash between the two
steps loses nothing, because the next attempt is looked up first. Questions are asked in groups, one of each kind
at a time; activities without a key are never here.
"""

from __future__ import annotations

from collections.abc import Callable

from continuum.ports.journal import KeptResult, ResultKey
from continuum.ports.offload import Lane
from continuum.runtime.asking import Asking
from continuum.runtime.limits import GROUP_BYTES_MAX, fitting

GROUP_MAX = 500

Then = Callable[[bytes | None], None]


class Results:
    """``then`` is called on the loop with the payload that is kept, or None."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._wanted: list[tuple[ResultKey, Then]] = []
        self._made: list[tuple[KeptResult, Then]] = []
        self._looking = self._keeping = False

    def look_up(self, name: ResultKey, then: Then) -> None:
        """Ask for what is kept under ``name``."""
        self._wanted.append((name, then))

    def keep(self, result: KeptResult, then: Then) -> None:
        """Keep the result; ``then`` gets what is kept under its name, None if the run is not held any more."""
        self._made.append((result, then))

    def tick(self) -> None:
        if self._wanted and not self._looking:
            self._looking = True
            wanted, self._wanted = self._wanted[:GROUP_MAX], self._wanted[GROUP_MAX:]
            names = list(dict.fromkeys(name for name, _ in wanted))
            self._asking.ask(
                Lane.READ, lambda desk: desk.dispatch.results(names), lambda found: self._found(wanted, found)
            )
        if self._made and not self._keeping:
            self._keeping = True
            count = fitting([len(result.payload) for result, _ in self._made[:GROUP_MAX]], GROUP_BYTES_MAX)
            made, self._made = self._made[:count], self._made[count:]
            results = [result for result, _ in made]
            self._asking.ask(
                Lane.COMMIT, lambda desk: desk.journal.keep(results), lambda kept: self._kept(made, kept)
            )

    def _found(self, wanted: list[tuple[ResultKey, Then]], found: dict[ResultKey, bytes]) -> None:
        self._looking = False
        for name, then in wanted:
            then(found.get(name))

    def _kept(self, made: list[tuple[KeptResult, Then]], kept: list[bytes | None]) -> None:
        self._keeping = False
        for (_, then), payload in zip(made, kept, strict=True):
            then(payload)
