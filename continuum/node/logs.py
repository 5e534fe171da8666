"""The log of a node: one line per event on standard error, never with a password.

What users named or wrote cannot pass for a line of ours: control characters are escaped, and what follows a line break,
as in a stack, is set off by a bar.

Our lines have a logger and a handler of their own. The root logger is the application's: as long as it has no handlers,
what the application logs comes out as our lines do, and once it is configured, at import or later, all of that is as
configured there.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any

from continuum.config import mask_password
from continuum.model.visible import visible

_OURS = "continuum"
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


class _OwnLevel(int):
    """A level that we have set: an application that sets the same one has set a plain number."""


def start_logging(process: str, level: str) -> None:
    """Send what this process logs from ``level`` on to standard error, named after the process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line(f"%(asctime)s %(levelname)-7s {process}: %(message)s"))
    own_level = _OwnLevel(logging.getLevelNamesMapping()[level.upper()])
    ours = logging.getLogger(_OURS)
    ours.handlers[:] = [handler]
    ours.propagate = False  # else a line would come a second time from the application's handlers
    ours.setLevel(own_level)
    logging.lastResort = handler  # `basicConfig` does nothing where the root logger has a handler
    logging.getLogger().setLevel(own_level)


def settle_logging() -> None:
    """After the application was imported: what it has configured holds, and does not silence us by the way."""
    root = logging.getLogger()
    if root.handlers and isinstance(root.level, _OwnLevel):
        root.setLevel(logging.WARNING)  # the default, which it relies on
    for name, logger in logging.root.manager.loggerDict.items():
        if name.partition(".")[0] == _OURS and isinstance(logger, logging.Logger):
            logger.disabled = False  # by `disable_existing_loggers`, which was not meant for us


def log_supervisor(line: str) -> None:
    """Log a line of the supervisor, which begins with ``supervisor <event>``."""
    event = line.split(" ", 2)[1]
    unusual = event in _UNUSUAL or (event == "exited" and "how='exited with code 0'" not in line)
    text = line.removeprefix("supervisor ")
    logging.getLogger(_OURS).log(logging.WARNING if unusual else logging.INFO, "%s", text)
