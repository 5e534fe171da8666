"""The group of the commands about runs."""

from __future__ import annotations

import click

from continuum_cli.lazy import Entry, LazyGroup

_COMMANDS = {
    "start": Entry("continuum_cli.run.start:start", "Start a run of a workflow and print its id."),
    "list": Entry("continuum_cli.run.look:list_runs", "List runs, newest first."),
    "show": Entry("continuum_cli.run.look:show", "Show a run, and what it waits for."),
    "history": Entry("continuum_cli.run.look:history", "Show the journal of a run."),
    "signal": Entry("continuum_cli.run.act:signal", "Send a run a signal."),
    "cancel": Entry("continuum_cli.run.act:cancel", "End a run as cancelled."),
    "resume": Entry("continuum_cli.run.act:resume", "Resume a run that was set aside."),
    "result": Entry("continuum_cli.run.act:result", "Wait for the end of a run and print its result."),
}


@click.group(cls=LazyGroup, entries=_COMMANDS)
def run() -> None:
    """Start runs, look at them, signal and cancel them.

    A run is named by its id, or by the --id that it was started with.
    """
