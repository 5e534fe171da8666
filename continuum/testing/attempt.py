"""One attempt of an activity in a test: inline, with the errors of a worker (A13).

A ``def`` runs in the caller's thread, so that a debugger, a fixture or a connection of the test's own thread works in
it. Only one with a time-out runs in a thread of its own, because nothing else could leave it behind. An ``async def``
runs on an event loop of its own, closed after the attempt.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import TIMEOUT_MAX, Thread
from typing import Any, TypeVar
from uuid import UUID

from continuum.core.attempt import ActivityInfo, Outcome, perform, perform_async, timed_out
from continuum.core.definitions import Activity
from continuum.core.failure import decode_failure
from continuum.core.machine import Machine
from continuum.core.step import Dispatch
from continuum.errors import PayloadError
from continuum.model.retry import type_name

T = TypeVar("T")

GRACE_S = 5.0  # what a cancelled ``async def`` has for its clean-up, as in a worker
_NO_PAYLOAD = type_name(PayloadError)


def perform_inline(activity: Activity[..., Any], dispatch: Dispatch, run_id: UUID) -> Outcome:
    """Run an attempt and return how it ended; ``activity`` may be a stand-in for the one that was called."""
    timeout_s = dispatch.call.policy.timeout_s
    info = partial(_info, dispatch, run_id)
    if activity.is_async:
        return on_loop(lambda: _limited(activity, dispatch, info))
    attempt = partial(perform, activity, dispatch.args, info)
    return attempt() if timeout_s is None else _in_thread(attempt, dispatch.call.name, timeout_s)


def deliver(
    machine: Machine, dispatch: Dispatch, outcome: Outcome, at: int, random: Callable[[], float]
) -> None:
    """Give the run the outcome of an attempt: a value, a next attempt, or the final failure (A4)."""
    if outcome.ok:
        machine.complete(dispatch.seq, dispatch.attempt, outcome.payload, at)
        return
    failure, policy = decode_failure(outcome.payload), dispatch.call.policy.retry
    lasting = not outcome.retryable or failure.type == _NO_PAYLOAD  # another attempt would only repeat it
    if not lasting and policy.allows_after(dispatch.attempt, failure):
        machine.retry(dispatch.seq, dispatch.attempt, failure, policy.delay_s(dispatch.attempt, random))
    else:
        machine.fail(dispatch.seq, dispatch.attempt, failure, outcome.timed_out, at)


def on_loop(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run the coroutine that ``make`` returns, on a loop made for it, in a context of its own."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(make(), context=Context())


def off_loop(work: Callable[[], T]) -> T:
    """Do ``work`` where no event loop runs: here, or, in an ``async def`` test, in a thread that is waited for."""
    if asyncio._get_running_loop() is None:
        return work()
    done: list[Callable[[], T]] = []
    thread = Thread(target=copy_context().run, args=[_catch, work, done], name="continuum-testing")
    thread.start()
    thread.join()
    return done[0]()


def stand_in(activity: Activity[..., Any], fake: Callable[..., Any]) -> Activity[..., Any]:
    """Return ``activity`` with ``fake`` for its body: arguments, result and policy stay those of the activity.

    A fake without parameters is called without arguments; one that returns an awaitable (an ``AsyncMock``) is awaited.
    """
    double: Activity[..., Any] = object.__new__(type(activity))
    double.__dict__.update(activity.__dict__)
    double.fn = fake if _takes_arguments(fake) else _ignoring_arguments(fake)
    double.is_async = inspect.iscoroutinefunction(fake)
    if not double.is_async:
        double.fn = _awaiting(double.fn)
    return double


def _info(dispatch: Dispatch, run_id: UUID) -> ActivityInfo:
    timeout_s = dispatch.call.policy.timeout_s
    return ActivityInfo(
        run_id=run_id,
        activity=dispatch.call.name,
        attempt=dispatch.attempt,
        idempotency_key=dispatch.idempotency_key,
        deadline=None if timeout_s is None else datetime.now(UTC) + timedelta(seconds=timeout_s),
    )


async def _limited(
    activity: Activity[..., Any], dispatch: Dispatch, info: Callable[[], ActivityInfo]
) -> Outcome:
    task = asyncio.get_running_loop().create_task(perform_async(activity, dispatch.args, info))
    timeout_s = dispatch.call.policy.timeout_s
    await asyncio.wait([task], timeout=timeout_s)
    if task.done() or timeout_s is None:
        return task.result()
    task.cancel()
    await asyncio.wait([task], timeout=GRACE_S)
    return timed_out(dispatch.call.name, timeout_s)


def _in_thread(attempt: Callable[[], Outcome], name: str, timeout_s: float) -> Outcome:
    outcomes: list[Outcome] = []
    context = copy_context()
    thread = Thread(
        target=lambda: outcomes.append(context.run(attempt)), name=f"continuum-{name}", daemon=True
    )
    thread.start()
    thread.join(min(timeout_s, TIMEOUT_MAX))
    return outcomes[0] if outcomes else timed_out(name, timeout_s)


def _catch(work: Callable[[], T], done: list[Callable[[], T]]) -> None:
    """Put into ``done`` what returns the value of ``work``, or raises what it raised."""
    try:
        value = work()
    except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
        done.append(partial(_raise, error))
    else:
        done.append(lambda: value)


def _raise(error: BaseException) -> Any:
    raise error


def _takes_arguments(fake: Callable[..., Any]) -> bool:
    try:
        return bool(inspect.signature(fake).parameters)
    except (TypeError, ValueError):  # some builtins do not say
        return True


def _ignoring_arguments(fake: Callable[[], Any]) -> Callable[..., Any]:
    return lambda *_, **__: fake()


def _awaiting(fake: Callable[..., Any]) -> Callable[..., Any]:
    def answer(*args: Any, **kwargs: Any) -> Any:
        value = fake(*args, **kwargs)
        return on_loop(lambda: _await(value)) if inspect.isawaitable(value) else value

    return answer


async def _await(value: Any) -> Any:
    return await value
