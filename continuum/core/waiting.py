"""What an effect that waits returns: a coroutine in all that can be done with it, but none in memory.

What waits is most of a run that is parked for days. ``await`` of this leaves the future that is waited for, and nothing
else; a coroutine would stay between the code and the future.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

from continuum.core.commands.wait import wait
from continuum.core.loop import current_machine
from continuum.core.options import checked_name
from continuum.core.pending import Restore
from continuum.model.retry import Duration, wait_s_of

T = TypeVar("T")


class SignalWait(Coroutine[Any, Any, T]):
    """The next payload of a mailbox, once it is awaited, or given to ``create_task`` or ``gather``."""

    __slots__ = ("_name", "_restore", "_steps", "_timeout", "_used")

    def __init__(self, name: str, restore: Restore, timeout: Duration | None) -> None:
        self._name, self._restore, self._timeout = name, restore, timeout
        self._used = False
        self._steps: Generator[Any, Any, T] | None = None

    def __await__(self) -> Generator[Any, Any, T]:
        self._used = True
        machine = current_machine(f"wait for signal {checked_name('the name of a signal', self._name)}")
        timeout_s = None if self._timeout is None else wait_s_of(self._timeout)
        return wait(machine, self._name, self._restore, timeout_s).__await__()

    def send(self, value: Any) -> Any:
        if self._steps is None:
            self._steps = self.__await__()
        return self._steps.send(value)

    def throw(self, *error: Any) -> Any:
        if self._steps is None:  # it was not begun, and never will be
            self._used = True
            self._steps = _unbegun()
        return self._steps.throw(*error)

    def close(self) -> None:
        self._used = True
        if self._steps is not None:
            self._steps.close()

    def __repr__(self) -> str:
        return f"<wait for signal {self._name}>"

    def __del__(self) -> None:
        if not self._used and not sys.is_finalizing():
            warnings.warn(f"{self!r} was never awaited", RuntimeWarning, stacklevel=2, source=self)


def _unbegun() -> Generator[Any, Any, Any]:
    yield
