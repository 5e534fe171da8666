"""The whole error tree. Every message says what happened, to what, and what to do next.

Errors that user code catches carry their facts as attributes; the text is for people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID


class ContinuumError(Exception):
    """Base of every error that Continuum raises on purpose."""


class ConfigurationError(ContinuumError):
    """A setting, argument or environment that cannot work; nothing was started or changed."""


class ActivityError(ContinuumError):
    """An activity failed for good, after its last attempt. Raised by ``await activity(...)``."""

    def __init__(
        self, message: str, *, type: str = "ActivityError", attempts: int = 1, traceback: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.type = type
        self.attempts = attempts
        self.traceback = traceback


class ActivityTimeoutError(ActivityError, TimeoutError):
    """The last attempt of an activity ran for longer than its time-out."""


class ChildError(ContinuumError):
    """A child workflow did not complete. Raised by ``await child(...)`` and ``await ref``.

    ``run_id`` is the child's id as its parent knows it, ``state`` how it ended: ``failed`` or ``cancelled``.
    """

    def __init__(self, message: str, *, run_id: UUID, state: str) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.state = state


class RunFailedError(ContinuumError):
    """``result()`` of a run that failed. ``type`` is ``ValueError`` for a builtin, else ``module.Name``."""

    def __init__(
        self, run_id: UUID, *, type: str, message: str, traceback: str = "", cause: str | None = None
    ) -> None:
        super().__init__(f"run {run_id} failed: {type}: {message}")
        self.run_id = run_id
        self.type = type
        self.message = message
        self.traceback = traceback
        self.cause = cause


class RunCancelledError(ContinuumError):
    """``result()`` of a run that was cancelled."""

    def __init__(self, run_id: UUID, reason: str | None = None) -> None:
        super().__init__(f"run {run_id} was cancelled" + (f": {reason}" if reason else ""))
        self.run_id = run_id
        self.reason = reason


class RunNotFoundError(ContinuumError):
    """No run has this id in this instance."""

    def __init__(self, run_id: object, *, started_in_transaction: bool = False) -> None:
        missing = f"no run {run_id} in this instance; nothing was changed. "
        if started_in_transaction:
            missing += "It was started in a transaction of the caller's that was never committed, or not yet"
        else:
            missing += "Check the id with `continuum run list --namespace all`"
        super().__init__(missing)
        self.run_id = run_id


class RunTerminalError(ContinuumError):
    """The run has already ended; nothing was changed."""

    def __init__(self, run_id: UUID, state: str) -> None:
        super().__init__(f"run {run_id} is already {state}; nothing was changed")
        self.run_id = run_id
        self.state = state


class RunWaitingError(ContinuumError, TimeoutError):
    """A run in a test waits for what nobody will bring. ``waits_for``: each wait, with its source line."""

    def __init__(self, run_id: UUID, waits_for: tuple[str, ...], advice: str) -> None:
        what = "; ".join(waits_for) or "a future, event or queue of its own, which nothing will ever set"
        super().__init__(f"run {run_id} waits for {what}. {advice}")
        self.run_id = run_id
        self.waits_for = waits_for


class RunExistsError(ContinuumError):
    """A run with this id exists already; nothing was started. ``workflows``: that of the run, and the one that was to
    be started, if they differ."""

    def __init__(
        self,
        run_id: UUID,
        key: str | None = None,
        remedy: str | None = None,
        workflows: tuple[str, str] | None = None,
    ) -> None:
        name = f"{key!r} ({run_id})" if key else str(run_id)
        exists = "exists already"
        if workflows is not None:
            exists += f" and is of workflow {workflows[0]}, not {workflows[1]}"
            remedy = "Choose another id"
        remedy = remedy or 'Choose another id, or pass if_exists="attach" to get the existing run'
        super().__init__(f"run {name} {exists}; nothing was started. {remedy}")
        self.run_id = run_id
        self.key = key


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where workflow code does what a replay cannot repeat, or may not.

    ``what`` is the name or the construct as it was resolved, ``function`` the workflow that was scanned, ``severity``
    ``error`` or ``warning``.
    """

    file: str
    line: int
    rule: str
    what: str
    remedy: str
    function: str = ""
    severity: str = "error"

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what} ({self.rule}); {self.remedy}"


class DeterminismError(ContinuumError):
    """Workflow code does what a replay cannot repeat.

    ``findings`` are all of a function; the first one's fields are attributes too, and None if there is none: a
    refusal that names no place has a text only.
    """

    def __init__(self, what: str | Sequence[Finding]) -> None:
        self.findings = () if isinstance(what, str) else tuple(what)
        super().__init__(what if isinstance(what, str) else _told(self.findings))
        first = self.findings[0] if self.findings else None
        self.file = first.file if first else None
        self.line = first.line if first else None
        self.rule = first.rule if first else None
        self.remedy = first.remedy if first else None


class DeterminismWarning(UserWarning):
    """Workflow code does what a replay may not repeat; nobody can tell without knowing what it calls."""


def _told(findings: Sequence[Finding]) -> str:
    name = findings[0].function if findings else ""
    if not name:  # at run time: one operation, refused before it did anything
        return "; ".join(f"workflow code may not do this: {finding}" for finding in findings)
    return "\n  ".join([f"{name} cannot be replayed, and is not defined:", *map(str, findings)])


class ReplayDriftError(ContinuumError):
    """The code no longer does what the journal recorded. Nothing was journaled.

    ``position`` counts events from 1 (the event's ``seq``); ``recorded`` and ``commanded``
    describe both sides, each with the source line where it stands, or say that there is none.
    """

    def __init__(self, position: int, recorded: str, commanded: str) -> None:
        super().__init__(
            f"replay drift at event {position}:\n"
            f"  recorded:  {recorded}\n"
            f"  commanded: {commanded}\n"
            "Nothing was written. Deploy the code that wrote this history, or make the change with patched()"
        )
        self.position = position
        self.recorded = recorded
        self.commanded = commanded


class SuspendLeakError(ContinuumError):
    """Workflow code swallowed its own suspension (a bare ``except`` around an effect), or its continuation as new."""


class PayloadError(ContinuumError):
    """A value cannot become a payload, or a payload cannot become the value asked for.

    ``path`` is the place inside the value, such as ``args[0].lines[3].price``.
    """

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.message = message
        self.path = path


class UnknownWorkflowError(ContinuumError):
    """No loaded code, or no node, knows a workflow or activity of this name, or this version of it."""

    def __init__(self, name: str, known: Sequence[str] = (), version_hash: str | None = None) -> None:
        hint = f"known here: {', '.join(sorted(known)[:8])}" if known else "none is loaded here"
        if version_hash is not None:
            hint = f"it is loaded here, but not in version {version_hash[:12]}"
        super().__init__(f"unknown workflow or activity {name!r}; {hint}")
        self.name = name
        self.version_hash = version_hash


class JournalError(ContinuumError):
    """The database could not carry out an operation.

    Whether it happened is unknown unless ``reason`` says so: the caller asks the journal again, under its lease.
    ``refused``: nothing happened, and nothing will: what was asked for cannot be done with these values. ``too_slow``:
    the database gave up, because it took too long; less at a time may succeed.
    """

    def __init__(self, operation: str, reason: str, *, refused: bool = False, too_slow: bool = False) -> None:
        super().__init__(f"journal: {operation}: {reason}")
        self.operation = operation
        self.reason = reason
        self.refused = refused
        self.too_slow = too_slow


class SchemaVersionError(JournalError):
    """The database's schema is older or newer than this code."""


class UnknownInstanceError(SchemaVersionError):
    """Nobody has ever made an instance of this name in the database; nothing was changed."""


class EmbeddedPostgresError(ContinuumError):
    """The embedded PostgreSQL could not be started or reached."""


class NodeError(ContinuumError):
    """A node could not start or has ended by itself; the text says why."""


class WireError(ContinuumError):
    """A message that is no message of ours, or of another version. It is counted and dropped."""
