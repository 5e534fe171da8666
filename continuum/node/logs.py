"""The log of a node: one line per event on standard error, never with a password.

What users named or wrote cannot pass for a line of ours: control characters are escaped, and what follows a line break,
as in a stack, is set off by a bar.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any

from continuum.config import mask_password
from continuum.model.visible import visible

_UNUSUAL = frozenset({"control_garbage", "escalated", "killing", "not_started", "unresponsive"})


class _Line(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        first, *others = record.message.split("\n")
        record.message = "\n".join([visible(first), *map(_set_off, others)])
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return _set_off(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        return _set_off(super().formatStack(stack_info))

    def format(self, record: logging.LogRecord) -> str:
        return mask_password(super().format(record))


def _set_off(text: str) -> str:
    return "\n".join(f"  | {visible(line)}" for line in text.split("\n"))


def start_logging(process: str, level: str) -> None:
    """Send what this process logs from ``level`` on to standard error, named after the process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line(f"%(asctime)s %(levelname)-7s {process}: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def log_supervisor(line: str) -> None:
    """Log a line of the supervisor, which begins with ``supervisor <event>``."""
    event = line.split(" ", 2)[1]
    unusual = event in _UNUSUAL or (event == "exited" and "how='exited with code 0'" not in line)
    text = line.removeprefix("supervisor ")
    logging.getLogger("continuum").log(logging.WARNING if unusual else logging.INFO, "%s", text)
