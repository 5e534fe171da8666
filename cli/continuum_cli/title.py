"""What `ps` shows of a command: not the database's URL, which may hold a password."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

_OPTION = "--database"
_HIDDEN = "***"


def hide_secrets(arguments: Sequence[str]) -> None:
    """Show this process, from now on, with its arguments but for the URL of the database."""
    shown = list(_shown(arguments))
    if shown != list(arguments):
        from setproctitle import setproctitle  # for those who need it

        setproctitle(" ".join(["continuum", *shown]))


def _shown(arguments: Sequence[str]) -> Iterator[str]:
    before = ""
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        if before == _OPTION or "://" in argument or "password" in argument.lower():
            yield f"{name}={_HIDDEN}" if equals and name.startswith("--") else _HIDDEN
        elif equals and name == _OPTION:
            yield f"{name}={_HIDDEN}"
        else:
            yield argument
        before = argument
