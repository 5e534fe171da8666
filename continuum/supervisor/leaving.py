"""How a forked process of ours leaves: with the exit handlers of its own application, in a bounded time.

It cannot leave as an interpreter does, because above it is the stack of the process that forked it, and threads of the
application may never end. But telemetry is flushed by exit handlers, and process pools end by them. Those that the
parent had registered are the parent's: what it would delete at its end is still in use.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

EXIT_S = 5.0


def forget_exit_handlers() -> None:
    """Begin the life of a fork: without the exit handlers of its parent, but with those that look after itself."""
    atexit._clear()
    atexit.register(logging.shutdown)
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        sys.modules["multiprocessing.process"].__dict__["_children"].clear()  # those of the parent
        atexit.register(util._exit_function)


def run_exit_handlers(code: int) -> None:
    """Let the application's threads and pools end and run its exit handlers; after `EXIT_S` the process exits with
    ``code`` instead of returning."""
    limit = threading.Timer(EXIT_S, os._exit, [code & 0xFF])
    limit.daemon = True
    limit.start()
    shutdown: Callable[[], Any] = threading.__dict__["_shutdown"]
    shutdown()  # which ends the pools of concurrent.futures, as it does at the end of an interpreter
    atexit._run_exitfuncs()
    limit.cancel()
