"""What lay for a run in the database is given to its machine, each kind in its order of arrival."""

from __future__ import annotations

from continuum.core.machine import Machine
from continuum.model.events import CancelRequested
from continuum.ports.journal import LoadedRun, Mail
from continuum.runtime.attempts import Attempts
from continuum.runtime.live import LiveRun


def begin_with(machine: Machine, loaded: LoadedRun) -> bool:
    """Give a run without history what came before it: signals for its waits to find. False for one that was cancelled
    before any of its code ran: it is over. One that goes on for another does run: that one's clean-up is its own."""
    note = loaded.mail.cancel
    if note is not None and loaded.run.continued_from_run_id is None:
        machine.never_begin(CancelRequested(note.cleanup_s, round(note.requested_at * 1e6), note.reason))
        return False
    for signal in loaded.mail.signals:
        machine.keep(signal.id, signal.name, signal.payload)
    return True


def deliver(run: LiveRun, mail: Mail, attempts: Attempts, now_us: int) -> None:
    """Give the mail to the run. All of it may come twice.

    A cancel comes before the ends of children: it was written to the whole family at once, and a parent that is
    asked to clean up must hear that, and not of a child that has done so already.
    """
    machine = run.machine
    for signal in mail.signals:
        machine.signal(signal.id, signal.name, signal.payload, now_us)
    for outcome in mail.outcomes:
        attempts.outcome(run, outcome)
    for seq in mail.due_timers:
        machine.fire(seq, now_us)
    if mail.cancel is not None:
        machine.cancel(mail.cancel.reason, mail.cancel.cleanup_s, round(mail.cancel.requested_at * 1e6))
    for end in mail.children:
        machine.child_ended(end.child_id, end.command, end.state, end.payload, now_us)
