"""Looks, from a thread of its own, whether the engine is stuck in a step of workflow code (X10).

A step is one call of ``WorkflowLoop.drain``. The thread samples the stack of the engine's thread: the same frame of
that call, seen over two seconds, is a step that does not yield. So a run pays nothing for being watched. After the
limit the process ends itself: its successor resumes the other runs, and this one is resumed alone (B4).

A call into C that keeps the interpreter's lock stops this thread too. So the thread keeps putting off the time at which
``faulthandler``, which needs no lock, writes the stacks and ends the process.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType
from typing import NamedTuple

from continuum.core.loop import WorkflowLoop
from continuum.runtime.role import log

STUCK_AFTER_S = 2.0
LIMIT_S = 10.0
LIMIT = "CONTINUUM_STEP_LIMIT"
EXIT_STUCK = 70
_MARGIN_S = 5.0  # beyond the limit, for a machine so busy that this thread comes late
_SAMPLE_S = 0.5
_DRAIN = WorkflowLoop.drain.__code__


class Stuck(NamedTuple):
    """A step that does not yield: of which run, for how long, and where it is now."""

    run: str
    seconds: float
    stack: str


class StepWatch:
    """Compares samples of one thread; knows the step that was seen last, and whether it was reported."""

    def __init__(self) -> None:
        self._step: FrameType | None = None
        self._since = 0.0
        self._reported = False

    def stuck_s(self, now: float) -> float:
        """For how long the step that was seen last has been seen."""
        return now - self._since if self._step is not None else 0.0

    def look(self, innermost: FrameType | None, now: float) -> Stuck | None:
        """Take a sample: the thread's innermost frame at ``now``, monotonic seconds. Each step is reported once."""
        step = _step_of(innermost)
        if step is not self._step:
            self._step, self._since, self._reported = step, now, False
        stuck_s = now - self._since
        if step is None or self._reported or stuck_s < STUCK_AFTER_S:
            return None
        self._reported = True
        return Stuck(_run_of(step), stuck_s, "".join(traceback.format_stack(innermost)))


class Watchdog:
    """Watches the thread that makes it, until it is closed. ``limit_s``: a step that takes longer ends the process."""

    def __init__(
        self,
        clock: Callable[[], float],
        report: Callable[[Stuck], None] | None = None,
        limit_s: float | None = None,
    ) -> None:
        self._clock, self._limit_s = clock, limit_s
        self._report = report or _log
        self._watched = threading.get_ident()
        self._closed = threading.Event()
        self._put_off()  # before the first step: it may be the one that lets nobody else have a turn
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        if self._limit_s is not None:
            faulthandler.cancel_dump_traceback_later()

    def _run(self) -> None:
        watch = StepWatch()
        while not self._closed.wait(_SAMPLE_S):
            stuck = watch.look(sys._current_frames().get(self._watched), self._clock())
            if stuck is not None:
                self._report(stuck)
            if self._limit_s is not None:
                self._end_beyond(watch.stuck_s(self._clock()), self._limit_s)

    def _put_off(self) -> None:
        if self._limit_s is not None:
            faulthandler.dump_traceback_later(self._limit_s + _MARGIN_S, exit=True)

    def _end_beyond(self, stuck_s: float, limit_s: float) -> None:
        if stuck_s < limit_s:
            self._put_off()
            return
        log.error(
            "this engine ends, because that step has not yielded for %.0f s (%s sets the limit); the other runs are "
            "resumed in a new one, and the run of that step alone",
            *(stuck_s, LIMIT),
        )
        os._exit(EXIT_STUCK)


def limit_of_environment() -> float | None:
    """Return ``CONTINUUM_STEP_LIMIT``, in seconds: 10 if it is not set, none if it is 0."""
    try:
        limit_s = float(os.environ.get(LIMIT, LIMIT_S))
    except ValueError:
        limit_s = LIMIT_S
    return limit_s if limit_s > 0 else None


def _log(stuck: Stuck) -> None:
    log.error(
        "run %s: a step of workflow code has not yielded for %.1f s and holds up every run of this engine; move the "
        "work into an activity\n%s",
        *(stuck.run, stuck.seconds, stuck.stack),
    )


def _step_of(frame: FrameType | None) -> FrameType | None:
    while frame is not None and frame.f_code is not _DRAIN:
        frame = frame.f_back
    return frame


def _run_of(step: FrameType) -> str:
    loop = step.f_locals.get("self")
    machine = getattr(loop, "machine", None)
    return f"{machine.identity.run_id} ({machine.identity.workflow})" if machine is not None else "unknown"
