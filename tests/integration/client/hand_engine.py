"""An engine by hand: claims runs of one schema and ends them as the test says, through the store's own ports."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from continuum.core.failure import encode_failure, failure_of
from continuum.model import payload
from continuum.model.events import EventBody, to_row
from continuum.model.run import RunState
from continuum.ports.journal import ClaimedRun, RunCommit
from continuum.postgres import open_store

OWNER = "hand/default/engine-1/b1-1"
HOUR_S = 3600.0


class HandEngine:
    """For one thread, as the store below it. ``announce=False``: the ends of runs are told to nobody."""

    def __init__(self, url: str, schema: str, *, announce: bool = True) -> None:
        self.store = open_store(url, schema)
        self._announce = announce
        self._claimed: dict[UUID, ClaimedRun] = {}
        self.store.dispatch.register(OWNER, "hand", "ipc://hand", HOUR_S)

    def claim(self) -> dict[UUID, ClaimedRun]:
        """Claim all that is due; return everything claimed so far."""
        self._claimed.update({run.run_id: run for run in self.store.dispatch.claim(OWNER, 1000)})
        return self._claimed

    def complete(self, run_id: UUID, value: object = None, events: Sequence[EventBody] = ()) -> None:
        self._end(run_id, "completed", payload.encode(value), None, events)

    def fail(self, run_id: UUID, error: Exception) -> None:
        try:
            raise error
        except Exception as raised:  # noqa: BLE001  it needs a traceback
            self._end(run_id, "failed", None, encode_failure(failure_of(raised)))

    def close(self) -> None:
        self.store.close()

    def _end(
        self,
        run_id: UUID,
        state: RunState,
        result: bytes | None,
        error: bytes | None,
        events: Sequence[EventBody] = (),
    ) -> None:
        run = self.claim()[run_id]
        rows = [to_row(seq, body) for seq, body in enumerate(events, 1)]
        step = RunCommit(run_id, run.token, 0, rows, state, result, error)
        assert self.store.journal.commit([step]) == {run_id}, "the engine holds the run's lease"
        if self._announce:
            self.store.mailbox.announce_ended([run_id])
