"""Where the command begins: until it can say something, Ctrl-C ends it without a traceback."""

from __future__ import annotations

import signal
import sys

from continuum_cli.title import hide_secrets


def main() -> None:
    """Load the command line and run it."""
    heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # `nohup` may have it ignored
    if heeded:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    hide_secrets(sys.argv[1:])
    from continuum_cli.main import main as command  # what takes its time

    if heeded:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command()
