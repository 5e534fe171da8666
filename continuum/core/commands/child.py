"""A child workflow: started with its parent's commit, ended by mail (chapter C).

::

    start ── child_started + the child's seed, one commit ──► the child runs on its own
    its end ── mail ──► child_completed | child_failed | child_cancelled, journaled when it comes,
                        whether the code waits for it by then or not: `await ref` of an ended child waits for nothing

A child that is awaited where it is called belongs to that await: when the await is cancelled, or the run ends
without it, the child is cancelled. A child behind a :class:`ChildRef` goes on in any case (C6).
"""

from __future__ import annotations

import hashlib
from asyncio import Future
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import UUID

from continuum.core.pending import command_future, settle
from continuum.core.site import place_text
from continuum.core.step import more
from continuum.errors import ChildError, ConfigurationError, RunExistsError
from continuum.model import payload
from continuum.model.events import (
    ChildCancelled,
    ChildCompleted,
    ChildFailed,
    ChildStarted,
    EventBody,
    Failure,
)
from continuum.model.ids import child_run_id
from continuum.model.restore import SignatureRestorer, identity
from continuum.model.run import RunSeed

if TYPE_CHECKING:
    from continuum.core.call import WorkflowCall
    from continuum.core.machine import Machine

DEPTH_MAX = 10  # generations above a run
T_co = TypeVar("T_co", covariant=True)


class Children:
    """The children that a run has started, so far as its code can see them: how many, and under which ids.
    ``ended``: the ids under which ends have come."""

    def __init__(self) -> None:
        self.count = 0
        self.names: set[str] = set()
        self.ended: set[UUID] = set()


class PendingChild:
    """A child whose end has not come. ``attached``: it belongs to the await, and ``end`` is what is awaited."""

    __slots__ = ("attached", "end", "run_id", "signature", "workflow")

    def __init__(
        self,
        run_id: UUID,
        workflow: str,
        signature: SignatureRestorer | None,
        end: Future[Any],
        attached: bool,
    ) -> None:
        self.run_id, self.workflow, self.signature = run_id, workflow, signature
        self.end, self.attached = end, attached

    def arrive(self, machine: Machine, seq: int, body: EventBody) -> bool:
        if isinstance(body, ChildCompleted):
            restore = identity if self.signature is None else self.signature.restore_result
            settle(machine, self.end, restore, body.value, "result")
        elif isinstance(body, ChildFailed):
            self.end.set_exception(self._error("failed", f": {_text(body.failure)}"))
        elif isinstance(body, ChildCancelled):
            self.end.set_exception(self._error("cancelled", f": {body.reason}" if body.reason else ""))
        else:
            return False
        del machine.pending[seq]
        return True

    def withdrawn(self, machine: Machine, seq: int) -> None:
        """Cancel the child, or do not start it if that was to come with the same commit. What was there before a
        cancel with clean-up has been asked to end by that cancel, and has its own time for it."""
        out = machine.out
        kept = [seed for seed in out.children_started if seed.parent_command != seq]
        was_started = len(kept) == len(out.children_started)
        if was_started and seq > machine.cancelled_at and not machine.cursor.replaying:
            out.children_cancelled = more(out.children_cancelled, seq)
        out.children_started = kept

    def _error(self, state: str, reason: str) -> ChildError:
        verb = "was cancelled" if state == "cancelled" else state
        return ChildError(
            f"child {self.workflow} ({self.run_id}) {verb}{reason}", run_id=self.run_id, state=state
        )


class ChildRef(Generic[T_co]):
    """A child that was started; ``await ref`` waits for its end and returns its result. ``id`` is its run's id.

    It may be awaited more than once, and from several tasks. Cancelling the await only stops waiting.
    """

    __slots__ = ("_end", "id")

    def __init__(self, id: UUID, end: Future[T_co]) -> None:
        self.id = id
        self._end = end

    def __await__(self) -> Generator[Any, Any, T_co]:
        if not self._end.done():
            waiter: Future[None] = self._end.get_loop().create_future()

            def wake(_: Future[T_co]) -> None:
                if not waiter.done():
                    waiter.set_result(None)

            self._end.add_done_callback(wake)
            try:
                yield from waiter.__await__()
            finally:
                self._end.remove_done_callback(wake)
        return self._end.result()

    def __repr__(self) -> str:
        return f"<ChildRef {self.id}>"


def run_child(machine: Machine, call: WorkflowCall[Any]) -> Future[Any]:
    """The code awaits the call of a workflow: start it, and give what becomes of it."""
    return _start(machine, call, None, True).end


def start_child(machine: Machine, call: WorkflowCall[T_co], name: str | None) -> ChildRef[T_co]:
    """The code starts a child without waiting for it.

    Raises:
        RunExistsError: this run has started a child under this id already.
    """
    child = _start(machine, call, name, False)
    return ChildRef(child.run_id, child.end)


def args_hash(args: bytes) -> str:
    """Return what tells the arguments of two calls of a workflow apart (R3)."""
    return hashlib.sha256(args).hexdigest()[:32]


def is_hash_of(recorded: str, args: bytes) -> bool:
    """Return whether a recorded hash is that of these arguments, as they are written now or by older versions."""
    return recorded == args_hash(args) or recorded == args_hash(payload.without_models(args))


def _start(machine: Machine, call: WorkflowCall[Any], name: str | None, attached: bool) -> PendingChild:
    """Record the child, or find it recorded."""
    cursor, site = machine.cursor, place_text(call.place)
    args = payload.encode([list(call.args), dict(call.kwargs)], path=call.name)
    digest = args_hash(args)
    children = machine.children = machine.children or Children()
    run_id = child_run_id(machine.identity.run_id, children.count + 1, name)
    _check(machine, call, run_id, name)
    recorded = cursor.expected()
    if recorded is None:
        cursor.issue(ChildStarted(call.name, run_id.bytes, digest, attached, site, cursor.drawn))
        machine.out.children_started = more(machine.out.children_started, _seed(machine, call, run_id, args))
    elif type(recorded) is ChildStarted and recorded.workflow == call.name and cursor.drew(recorded):
        if recorded.args_hash != digest and not is_hash_of(recorded.args_hash, args):
            cursor.drifted(f"child {call.name}", f"{site}, with other arguments")
        cursor.accept()
        run_id = UUID(bytes=recorded.child)
    else:
        cursor.drifted(f"child {call.name}", site)
    children.count += 1
    if name is not None:
        children.names.add(name)
    seq = cursor.seq
    end = command_future(machine, seq) if attached else machine.loop.create_future()
    signature = None if call.target is None else call.target.signature
    child = machine.pending[seq] = PendingChild(run_id, call.name, signature, end, attached)
    return child


def _check(machine: Machine, call: WorkflowCall[Any], run_id: UUID, name: str | None) -> None:
    assert machine.children is not None
    if name is not None and name in machine.children.names:
        raise RunExistsError(run_id, name, "Each child of a run has an id of its own: choose another")
    if machine.identity.depth >= DEPTH_MAX:
        raise ConfigurationError(
            f"run {machine.identity.run_id} of {machine.identity.workflow} has {DEPTH_MAX} generations of parents, "
            f"which is the limit of depth: it cannot start {call.name} as a child, and nothing was started. "
            "Let a run further up start it, or loop with continue_as_new instead of nesting"
        )


def _seed(machine: Machine, call: WorkflowCall[Any], run_id: UUID, args: bytes) -> RunSeed:
    """Attributes are inherited where the row is inserted: code does not know them (C3)."""
    parent = machine.identity
    return RunSeed(
        id=run_id,
        workflow=call.name,
        args=args,
        version_hash=None if call.target is None else call.target.version_hash,
        namespace=parent.namespace,
        parent_run_id=parent.run_id,
        parent_command=machine.cursor.seq,
        depth=parent.depth + 1,
    )


def _text(failure: Failure) -> str:
    return f"{failure.type}: {failure.message}" if failure.message else failure.type
