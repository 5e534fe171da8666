"""What a role asks of the journal off its loop: every question is asked until it is answered.

An outage of the database is no error of a run (R6): the question waits, with growing pauses, and is asked again. That
is safe because every write of the journal port may be asked twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from continuum.errors import JournalError
from continuum.ports.clock import Clock
from continuum.ports.offload import Completion, Lane, Offload, Work
from continuum.runtime.role import log

PAUSE_S = 0.1
PAUSE_MAX_S = 5.0


class _Question:
    """``failed``: what to call instead of asking again; ``refused``: likewise, where asking again is of no use;
    ``too_slow``: likewise, if the database had not the time."""

    __slots__ = ("again_at", "failed", "lane", "pause_s", "refused", "then", "too_slow", "work")

    def __init__(
        self,
        lane: Lane,
        work: Work,
        then: Callable[[Any], None],
        failed: Callable[[JournalError], None] | None = None,
        refused: Callable[[JournalError], None] | None = None,
        too_slow: Callable[[], None] | None = None,
    ) -> None:
        self.lane, self.work, self.then, self.failed = lane, work, then, failed
        self.refused, self.too_slow = refused, too_slow
        self.pause_s = PAUSE_S
        self.again_at = float("inf")


class Asking:
    """``failing`` is true while the last answer of the journal was an error."""

    def __init__(self, offload: Offload, clock: Clock) -> None:
        self._offload, self._clock = offload, clock
        self._open: dict[int, _Question] = {}
        self._paused: dict[int, _Question] = {}
        self._ticket = 0
        self.failing = False

    def ask(
        self,
        lane: Lane,
        work: Work,
        then: Callable[[Any], None],
        refused: Callable[[JournalError], None] | None = None,
        too_slow: Callable[[], None] | None = None,
    ) -> None:
        """Run ``work`` on the lane until it succeeds; then call ``then`` with its value, on the loop. ``refused`` is
        called instead if it cannot succeed, however often it is asked (`JournalError.refused`), and ``too_slow`` if
        the database has given it up for want of time."""
        self._submit(_Question(lane, work, then, refused=refused, too_slow=too_slow))

    def try_once(self, lane: Lane, work: Work, failed: Callable[[JournalError], None]) -> None:
        """Run ``work`` on the lane, for nobody who waits; if it fails, say so and let it be."""
        self._submit(_Question(lane, work, lambda _: None, failed))

    def complete(self, completion: Completion) -> None:
        question = self._open.pop(completion.ticket, None)
        if question is None:
            return
        if completion.error is None:
            if self.failing:
                log.info("the database answers again")
            self.failing = False
            question.then(completion.value)
            return
        if question.failed is not None:
            question.failed(completion.error)
            return
        if question.refused is not None and completion.error.refused:
            question.refused(completion.error)
            return
        self._note(completion.error)
        if completion.error.too_slow and question.too_slow is not None:
            question.too_slow()
            return
        question.again_at = self._clock.monotonic() + question.pause_s
        question.pause_s = min(2 * question.pause_s, PAUSE_MAX_S)
        self._paused[completion.ticket] = question

    def tick(self) -> None:
        if not self._paused:
            return
        now = self._clock.monotonic()
        for ticket in [t for t, question in self._paused.items() if question.again_at <= now]:
            self._submit(self._paused.pop(ticket))

    def wake_at(self) -> float:
        if not self._paused:
            return float("inf")
        return min(question.again_at for question in self._paused.values())

    def _submit(self, question: _Question) -> None:
        self._ticket += 1
        self._open[self._ticket] = question
        self._offload.submit(question.lane, self._ticket, question.work)

    def _note(self, error: JournalError) -> None:
        if not self.failing:
            log.warning("%s; trying again, no run fails by this", error)
        self.failing = True
