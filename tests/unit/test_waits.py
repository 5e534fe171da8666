"""What `run show` says a run waits for."""

from __future__ import annotations

from uuid import UUID

from continuum.model import payload
from continuum.model.events import (
    ActivityCompleted,
    ActivityRetried,
    ActivityScheduled,
    CompensationFailed,
    CompensationScheduled,
    EventBody,
    Failure,
    to_row,
)
from continuum.model.history import History, Origin
from continuum_cli.run.waits import waits_of

RUN = UUID(int=1)
ARGS = payload.encode([[], {}])
GONE = Failure("OSError", "gone")


def waits(*bodies: EventBody) -> list[str]:
    origin = Origin(run_id=RUN, workflow="w", args=ARGS, created_at=0, correlation_id=RUN)
    return waits_of(History(origin, [to_row(seq, body) for seq, body in enumerate(bodies, 1)]))


def test_a_compensation_is_waited_for_until_it_has_ended() -> None:
    done: list[EventBody] = [ActivityScheduled("book", ARGS), ActivityCompleted(1, ARGS, 1)]
    undoing = [*done, CompensationScheduled(1, "cancel", ARGS)]
    assert waits(*undoing) == ["compensation cancel"]
    retried = [*undoing, ActivityRetried(3, 2, 1.0, GONE)]
    assert waits(*retried) == ["compensation cancel, attempt 2 after a failure: OSError: gone"]
    assert waits(*retried, CompensationFailed(3, GONE, 2, 1)) == []
