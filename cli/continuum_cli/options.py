"""Options that several commands have, and JSON as an option's value."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def database_options(function: F) -> F:
    """``--database`` and ``--instance``."""
    function = click.option(
        "--instance", default="default", show_default=True, help="The separate set of tables to use."
    )(function)
    return click.option("--database", metavar="URL", help="The PostgreSQL to use.")(function)


def json_option(function: F) -> F:
    """``--json``, as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")(function)


class Seconds(click.FloatRange):
    """The ``type=`` of a duration: so many seconds, from 0."""

    name = "seconds"

    def __init__(self) -> None:
        super().__init__(min=0)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        seconds = super().convert(value, param, ctx)
        if not math.isfinite(seconds):
            self.fail(f"{value} is no finite number of seconds", param, ctx)
        return seconds


def json_value(shape: type | None = None, example: str = "") -> Callable[[str], Any]:
    """The ``type=`` of a value written as JSON; ``-`` reads it from standard input.

    ``shape`` is the Python type that it must have, ``example`` shows one.
    """

    def convert(value: str) -> Any:
        text = sys.stdin.read() if value == "-" else value
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            hint = f"; it looks like {example}" if example else "; a text needs quotes: '\"text\"'"
            raise click.BadParameter(f"{_shortened(text)} is not JSON ({error}){hint}") from error
        if shape is not None and not isinstance(found, shape):
            raise click.BadParameter(f"{_shortened(text)} is JSON, but it must look like {example}")
        return found

    return convert


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
