"""What went wrong, as one line on standard error and an exit code."""

from __future__ import annotations

import os
import sys
import traceback

import click
import psycopg

from continuum.config import mask_password
from continuum.errors import ConfigurationError, ContinuumError, SchemaVersionError
from continuum.model.visible import visible

FAILED, USAGE = 1, 2
DEBUG_VARIABLE = "CONTINUUM_DEBUG"


class Refusal(Exception):  # noqa: N818 - it is what the command says, not a class of errors
    """A command ends with this line and exit code."""

    def __init__(self, line: str, exit_code: int = FAILED) -> None:
        super().__init__(line)
        self.exit_code = exit_code


def report(error: Exception) -> int:
    """Print the line and return the exit code."""
    if os.environ.get(DEBUG_VARIABLE):
        print(mask_password("".join(traceback.format_exception(error))), end="", file=sys.stderr)
    print(f"error: {one_line(mask_password(_text(error)))}", file=sys.stderr)
    return _exit_code(error)


def one_line(text: str) -> str:
    """The text with its whitespace made single blanks, and escapes for what would steer a terminal."""
    return visible(" ".join(text.split()))


def _text(error: Exception) -> str:
    match error:
        case click.UsageError():
            command = error.ctx.command_path if error.ctx is not None else "continuum"
            return f"{error.format_message().rstrip('.')} (see `{command} --help`)"
        case click.ClickException():
            return error.format_message()
        case SchemaVersionError():
            return error.reason
        case Refusal() | ContinuumError():
            return str(error)
        case psycopg.Error():
            return f"the database: {error}"
        case OSError():
            place = f"{error.filename}: " if error.filename else ""
            return f"{place}{error.strerror or error}"
        case _:
            return (
                f"unexpected {type(error).__name__}: {error}; this is a defect of Continuum. "
                f"Run it again with {DEBUG_VARIABLE}=1 to see where"
            )


def _exit_code(error: Exception) -> int:
    match error:
        case Refusal():
            return error.exit_code
        case click.ClickException():
            return error.exit_code
        case ConfigurationError():
            # A database that does not let us in is a failure, though the remedy may be another URL.
            return FAILED if isinstance(error.__cause__, psycopg.Error) else USAGE
        case _:
            return FAILED
