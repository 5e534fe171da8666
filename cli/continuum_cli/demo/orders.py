"""What is known of an order of the demo, read from the journal of its run. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from continuum.model.history import Event
from continuum.model.run import LIVE_STATES

STEPS = ("charge", "approval", "hold", "ship")


@dataclass(frozen=True, slots=True)
class Stage:
    """``done`` counts the finished `STEPS`. ``retried`` counts attempts of activities that were repeated."""

    done: int = 0
    text: str = "ordered"
    retried: int = 0

    @property
    def step(self) -> str | None:
        """The step that is under way."""
        return STEPS[self.done] if self.done < len(STEPS) and self.text != "ordered" else None


@dataclass(slots=True)
class Watched:
    """An order under way. Times are those of the demo's clock, in seconds."""

    id: str
    cents: int
    run_id: UUID
    state: str = "running"
    stage: Stage = field(default_factory=Stage)
    asked_at: float | None = None  # since when it waits for an approval
    approved: bool = False

    @property
    def ended(self) -> bool:
        return self.state not in LIVE_STATES


def stage_of(state: str, history: Sequence[Event]) -> Stage:
    """How far a run of the shop's `checkout` has come, by its journal."""
    types = [event.type for event in history]
    retried = types.count("activity_retried")
    if state not in LIVE_STATES:
        return Stage(
            len(STEPS) if state == "completed" else 0, "shipped" if state == "completed" else state, retried
        )
    paid = types.count("activity_completed") >= 1
    done = sum((paid, "signal_received" in types, "timer_fired" in types)) if paid else 0
    if not types:
        return Stage()
    text = ("charging", "waits for approval", "on hold", "shipping")[done]
    if types[-1] == "activity_retried":
        text += " again"
    return Stage(done, text, retried)
