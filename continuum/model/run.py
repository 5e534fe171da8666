"""A run: its states, what starts one, and what is known of one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

RunState = Literal["running", "suspended", "completed", "failed", "cancelled", "continued"]
LIVE_STATES: frozenset[str] = frozenset({"running", "suspended"})
STATES: tuple[RunState, ...] = ("running", "suspended", "completed", "failed", "cancelled", "continued")


class RunSeed(msgspec.Struct, frozen=True, kw_only=True):
    """What a run needs to be inserted. ``args`` is the payload of ``[args, kwargs]``."""

    id: UUID
    workflow: str
    args: bytes
    key: str | None = None
    version_hash: str | None = None
    namespace: str = "default"
    attributes: Mapping[str, object] = {}
    delay_s: float = 0.0
    parent_run_id: UUID | None = None
    parent_command: int | None = None  # seq of the ChildStarted in the parent's journal
    depth: int = 0  # generations above it
    correlation_id: UUID | None = None
    continued_from_run_id: UUID | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run as its row says. ``result`` and ``error`` are set once it has ended; ``error`` has
    ``type``, ``message``, ``traceback`` and ``cause`` as text. ``owner`` is the engine that holds its lease.
    ``attention`` says why a live run does not move, when somebody should know. ``damaged`` says, by field, what of the
    row could not be read, and why; such an ``args``, ``result`` or ``attributes`` is empty."""

    id: UUID
    key: str | None
    workflow: str
    version_hash: str | None
    state: RunState
    namespace: str
    attributes: dict[str, object]
    args: object
    result: object
    error: dict[str, str | None] | None
    parent_run_id: UUID | None
    correlation_id: UUID
    continued_from_run_id: UUID | None
    continued_to_run_id: UUID | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    owner: str | None
    attention: str | None = None
    damaged: dict[str, str] = {}
