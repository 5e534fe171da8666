"""When a failed attempt is followed by another (A2 to A5)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from continuum.model.events import Failure

Duration = float | int | timedelta
WORKER_DIED = "continuum.WorkerDied"
NODE_DRAINED = "continuum.NodeDrained"  # the end of an attempt that does not count
ATTEMPTS_EXHAUSTED = "attempts_exhausted"
FAR_S = 2.5e11  # 7,900 years from now every clock still has a date; what is longer is kept as that long


def seconds_of(duration: Duration) -> float:
    """Return a duration in seconds, ``FAR_S`` if it is longer.

    Raises:
        ValueError: it is negative or not finite.
        TypeError: it is neither a number nor a timedelta.
    """
    value = _seconds(duration)
    if value < 0:
        raise ValueError(f"a duration is a number of seconds, 0 or more, not {duration!r}")
    return value


def wait_s_of(duration: Duration) -> float:
    """Return for how many seconds to wait: a negative duration is over already, as for asyncio.

    Raises:
        ValueError, TypeError: it is no finite number and no timedelta.
    """
    return max(_seconds(duration), 0.0)


def _seconds(duration: Duration) -> float:
    if isinstance(duration, timedelta):
        value = duration.total_seconds()
    elif isinstance(duration, int | float) and not isinstance(duration, bool):
        try:
            value = float(duration)
        except OverflowError:  # an int beyond all floats
            value = FAR_S if duration > 0 else -FAR_S
    else:
        raise TypeError(f"a duration is a number of seconds or a timedelta, not {duration!r}")
    if not math.isfinite(value):
        raise ValueError(
            f"a duration is a finite number of seconds, not {duration!r}; to wait without a limit, leave the limit out"
        )
    return min(value, FAR_S)


def type_name(kind: type[BaseException]) -> str:
    """Return ``ValueError`` for a builtin, ``module.Name`` otherwise."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


@dataclass(frozen=True, slots=True)
class Retry:
    """How often an activity is tried: attempt ``n+1`` starts ``initial * backoff**(n-1)`` seconds after attempt
    ``n`` failed, stretched by up to ``jitter`` (a fraction), at most ``max_delay``. What ``except KIND`` would catch
    for one of the types in ``non_retryable`` fails at once; a type may be given by its name too, with or without
    what stands before a dot: ``"Inner"``, ``"Outer.Inner"``, ``"shop.errors.Outer.Inner"``.

    Raises:
        ValueError: a number is out of its range.
        TypeError: ``non_retryable`` is no tuple (or list, or set) of exception types and their names.
    """

    max_attempts: int = 1
    initial: float = 1.0
    backoff: float = 2.0
    max_delay: float = 60.0
    jitter: float = 0.1
    non_retryable: tuple[type[BaseException] | str, ...] = ()

    def __post_init__(self) -> None:
        if (
            isinstance(self.max_attempts, bool)
            or not isinstance(self.max_attempts, int)
            or self.max_attempts < 1
        ):
            raise ValueError(f"Retry.max_attempts is a whole number from 1, not {self.max_attempts!r}")
        for name, low in (("initial", 0.0), ("backoff", 1.0), ("max_delay", 0.0), ("jitter", 0.0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < math.inf:
                raise ValueError(f"Retry.{name} is a number from {low:g}, not {value!r}")
        if self.jitter > 1:
            raise ValueError(f"Retry.jitter is a fraction from 0 to 1, not {self.jitter!r}")
        object.__setattr__(self, "non_retryable", _checked_kinds(self.non_retryable))

    def delay_s(self, attempt: int, random: Callable[[], float]) -> float:
        """Return the seconds between the failure of ``attempt`` (from 1) and the next one (A3, A17)."""
        try:
            delay = self.initial * self.backoff ** (attempt - 1)
        except OverflowError:
            delay = self.max_delay
        return min(delay * (1 + self.jitter * random()), self.max_delay, FAR_S)

    def allows_after(self, attempt: int, failure: Failure) -> bool:
        """True if another attempt may follow ``attempt``, which ended with ``failure`` (A4)."""
        if attempt >= self.max_attempts:
            return False
        if not self.non_retryable:
            return True
        names = (failure.type, *failure.bases)
        return not any(_is_named(kind, names) for kind in self.non_retryable)


def _checked_kinds(kinds: object) -> tuple[type[BaseException] | str, ...]:
    """A text or a type alone is refused: a text is a row of letters too, and one way to write a policy is enough."""
    if not isinstance(kinds, tuple | list | set | frozenset):
        raise TypeError(
            f"Retry.non_retryable is a tuple of exception types or their names, not {kinds!r}; "
            f"write non_retryable=({getattr(kinds, '__name__', None) or repr(kinds)},)"
        )
    for kind in kinds:
        if not (
            kind if isinstance(kind, str) else isinstance(kind, type) and issubclass(kind, BaseException)
        ):
            raise TypeError(f"Retry.non_retryable holds exception types or their names, not {kind!r}")
    return tuple(kinds)


def _is_named(kind: type[BaseException] | str, names: tuple[str, ...]) -> bool:
    """Whether a type is one of those named in full; a name may leave out what stands before one of its dots."""
    if not isinstance(kind, str):
        return type_name(kind) in names
    kind = kind.removeprefix("builtins.")
    return any(name == kind or name.endswith(f".{kind}") for name in names)
