"""Standard output and error that take any text: what their encoding lacks is replaced, and never ends a command.

A terminal of the C locale knows ASCII, others Latin-1; text of users may hold half a surrogate pair. Signs that only
look better than their ASCII relatives become those, all else becomes the escape that Python writes.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Sequence

_HANDLER = "continuum.plain"
_RELATIVES = str.maketrans(
    {
        "…": "...", "–": "-", "—": "-", "−": "-", "→": "->", "←": "<-", "·": ".", "•": "*", "×": "x", "µ": "u",
        "‘": "'", "’": "'", "“": '"', "”": '"', "≥": ">=", "≤": "<=", "✓": "ok", "✗": "x",
        **dict.fromkeys("─━═╌╍┄┅", "-"), **dict.fromkeys("│┃║", "|"), **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯╔╗╚╝╠╣╦╩╬", "+"),
        **dict.fromkeys("█▉▊▋▌▓▒", "#"), **dict.fromkeys("▍▎▏░", "."),
    }
)  # fmt: skip


def settle_streams() -> None:
    """Let the streams of this process replace what they cannot write. Those that are closed stay so."""
    codecs.register_error(_HANDLER, _replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def _replace(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError), "only streams for writing have this handler"
    text = error.object[error.start : error.end].translate(_RELATIVES)
    return text.encode("ascii", "backslashreplace").decode(), error.end


def takes(text: str) -> bool:
    """Whether standard output can write the text as it is."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def as_typed(arguments: Sequence[str]) -> list[str]:
    """The arguments of a command line; what the locale could not read is taken for UTF-8, if it is that."""
    return [argument if argument.isascii() else _as_typed(argument) for argument in arguments]


def _as_typed(argument: str) -> str:
    try:
        argument.encode("utf-8")
    except UnicodeEncodeError:  # it holds bytes, escaped as halves of surrogate pairs
        try:
            return os.fsencode(argument).decode("utf-8")
        except UnicodeError:
            return argument
    return argument
