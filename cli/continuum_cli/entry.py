"""Where the command begins: until it can say something, Ctrl-C ends it without a traceback."""

from __future__ import annotations

import signal


def main() -> None:
    """Load the command line and run it."""
    heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # `nohup` may have it ignored
    if heeded:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from continuum_cli.main import main as command  # what takes its time

    if heeded:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command()
