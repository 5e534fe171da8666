"""The entry point: a command line in, an exit code out, and never a traceback.

Exit codes: 0 fine, 1 found something or failed, 2 usage, 130 interrupted by Ctrl-C. What went wrong is one line on
standard error; with ``CONTINUUM_DEBUG`` set, the traceback comes before it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress

import click

from continuum_cli.lazy import Entry, LazyGroup
from continuum_cli.streams import as_typed, settle_streams

INTERRUPTED = 130

_COMMANDS = {
    "demo": Entry(
        "continuum_cli.demo.command:demo", "A node, a small shop, and a kill -9 in the middle of it."
    ),
    "node": Entry("continuum_cli.node:node", "Run a node: the processes that run workflows."),
    "cluster": Entry(
        "continuum_cli.cluster.command:cluster",
        "The nodes as one: how they are, and the key that they share.",
    ),
    "lint": Entry("continuum_cli.lint:lint", "Find what the workflows of an application may not do."),
    "run": Entry("continuum_cli.run.command:run", "Start runs, look at them, signal and cancel them."),
    "check": Entry(
        "continuum_cli.check.command:check", "Replay every live run against new code, before it is deployed."
    ),
    "versions": Entry("continuum_cli.versions:versions", "Versions of workflows, and who needs them."),
    "db": Entry("continuum_cli.db:db", "The database: migrations, and its URL."),
}


@click.group(
    cls=LazyGroup,
    entries=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="continuum", message="%(package)s %(version)s")
def cli() -> None:
    """Durable execution for Python on PostgreSQL.

    The database is --database, else CONTINUUM_DATABASE_URL, else `database` in [tool.continuum] of pyproject.toml,
    else an embedded PostgreSQL in .continuum/ of the project.
    """


def main() -> None:
    """Run the command line of this process and exit."""
    if None in (sys.stdin, sys.stdout, sys.stderr):  # their descriptors are closed
        from continuum.surroundings import open_standard

        open_standard()
    settle_streams()
    try:
        code = run(as_typed(sys.argv[1:]))
    except BrokenPipeError:  # on standard error, where nothing is left to say
        code = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            if not isinstance(error, BrokenPipeError):  # such as a full disk
                code = code or _report(error)
            # Who reads has seen enough, as `head` does. The interpreter would try to flush once more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


def _report(error: OSError) -> int:
    from continuum_cli.failing import report

    with suppress(OSError):  # it may be the disk that standard error is on
        return report(error)
    return 1


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    try:
        outcome = cli.main(list(arguments), prog_name="continuum", standalone_mode=False)
        return outcome if isinstance(outcome, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except SystemExit:
        return 0  # click ends so when standard output is a pipe that nobody reads any more
    except Exception as error:  # noqa: BLE001 - whatever it is, people get a line
        from continuum_cli.failing import report

        return report(error)
