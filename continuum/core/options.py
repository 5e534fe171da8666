"""The policy of an activity: the call's options over the decorator's over the defaults (A2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from continuum.errors import ConfigurationError
from continuum.model.retry import Retry, seconds_of

_OF_A_CALL = ("retry", "timeout", "heartbeat_timeout", "queue", "idempotency_key")
_DURATIONS = ("timeout", "heartbeat_timeout")


NAME_BYTES_MAX = 1000  # what a row of an index can hold, with room for the rest of it


class ActivityOptions(msgspec.Struct, frozen=True):
    """``timeout_s`` is for one attempt, ``heartbeat_timeout_s`` between two of its heartbeats; None for none.

    ``idempotency_key``: the key under which the result is kept for every run (A10), or what makes it of the
    activity's arguments. ``isolate``: an attempt runs in a process of its own.
    """

    retry: Retry = Retry()
    timeout_s: float | None = None
    queue: str = "default"
    idempotency_key: Callable[..., str] | str | None = None
    heartbeat_timeout_s: float | None = None
    isolate: bool = False


def defined_options(options: Mapping[str, Any]) -> ActivityOptions:
    """Return the policy of a decorator.

    Raises:
        ConfigurationError: there is no such option.
        ValueError, TypeError: its value makes no sense.
    """
    fields = dict(options)
    isolate = fields.pop("isolate", False)
    if not isinstance(isolate, bool):
        raise TypeError(f"isolate is True or False, not {isolate!r}")
    if isinstance(fields.get("idempotency_key"), str):
        raise TypeError(
            "idempotency_key of a decorator is a callable of the activity's arguments: one text would give every call"
            " the same result; pass a text to .options(idempotency_key=...) of one call"
        )
    return checked_options(ActivityOptions(isolate=isolate), fields, also=("isolate",))


def checked_options(
    base: ActivityOptions, overrides: Mapping[str, Any], also: tuple[str, ...] = ()
) -> ActivityOptions:
    """Return ``base`` with ``overrides``, as users write them, on top. ``also``: options that exist besides.

    Raises:
        ConfigurationError: there is no such option.
        ValueError, TypeError: its value makes no sense.
    """
    fields: dict[str, Any] = {}
    for name, value in overrides.items():
        if name in _DURATIONS:
            fields[f"{name}_s"] = None if value is None else _positive(name, value)
        elif name in _OF_A_CALL:
            fields[name] = _checked(name, value)
        else:
            there_are = ", ".join([*_OF_A_CALL, *also])
            raise ConfigurationError(f"there is no option {name!r} here; there are {there_are}")
    return msgspec.structs.replace(base, **fields)


def _positive(name: str, value: Any) -> float:
    seconds = seconds_of(value)
    if seconds <= 0:
        raise ValueError(f"{name} is longer than 0 seconds, not {value!r}; leave it out for none")
    return seconds


def _checked(name: str, value: Any) -> Any:
    if name == "retry" and not isinstance(value, Retry):
        raise TypeError(f"retry is a Retry(...), not {value!r}")
    if name == "queue":
        if not (isinstance(value, str) and value):
            raise TypeError(f"queue is the name of a queue, not {value!r}")
        return checked_name(name, value)
    if name == "idempotency_key" and not (value is None or callable(value) or isinstance(value, str)):
        raise TypeError(f"idempotency_key is a callable of the activity's arguments, not {value!r}")
    if name == "idempotency_key" and value == "":
        raise ValueError("idempotency_key is a text of at least one character; leave it out for none")
    if name == "idempotency_key" and isinstance(value, str):
        return checked_name(name, value)
    return value


def checked_name(what: str, value: Any) -> str:
    """Return a text that names something in the database.

    Raises:
        TypeError: it is no text, or empty.
        ValueError: no database can hold it, or no index.
    """
    if not isinstance(value, str) or not value:
        raise TypeError(f"{what} is a text of at least one character, not {value!r}")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise ValueError(
            f"{what} {value[:40]!r} holds a character that UTF-8 cannot; give it another"
        ) from None
    if size > NAME_BYTES_MAX or "\x00" in value:
        raise ValueError(
            f"{what} {value[:40]!r} has {size:,} bytes, or holds a NUL; {NAME_BYTES_MAX:,} bytes are the most: "
            "shorten or hash it"
        )
    return value
