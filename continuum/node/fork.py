"""One answer from a fork of this process, which is gone afterwards whatever happens to either of the two."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable
from typing import NoReturn

from continuum.errors import NodeError
from continuum.supervisor.leaving import EXIT_S, forget_exit_handlers, run_exit_handlers
from continuum.supervisor.signals import STOPS, is_free

_PATIENCE_S, _POLL_S = EXIT_S + 1.0, 0.005


def answer_of(work: Callable[[], bytes], release: Callable[[], None], lifeline_fd: int | None) -> bytes:
    """Run ``work`` in a fork and return its one line, empty if the fork died. An exception here ends the fork.

    ``release`` runs first in the fork. For a process without other threads.

    Raises:
        NodeError: the other end of ``lifeline_fd`` was closed.
    """
    reader, writer = os.pipe()
    held, leash = os.pipe()  # the fork holds one end, and ends itself when the other is gone
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        os.close(leash)
        _answer(work, release, writer, held)
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(writer)
        os.close(held)
        line = _read_line(reader, lifeline_fd)
        if _ended(pid):
            pid = 0
        return line
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)  # it does not leave, or nobody wants its answer any more
            os.waitpid(pid, 0)
        os.close(reader)
        os.close(leash)


def _ended(pid: int) -> bool:
    """Give the fork the time that its application takes to leave; False if that is not enough."""
    deadline = time.monotonic() + _PATIENCE_S
    while not os.waitpid(pid, os.WNOHANG)[0]:
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _answer(work: Callable[[], bytes], release: Callable[[], None], writer: int, held: int) -> NoReturn:
    """The fork's whole life."""
    try:
        release()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # standard input may be the lifeline
        forget_exit_handlers()
        for number in filter(is_free, STOPS):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        threading.Thread(target=_end_with_parent, args=(held,), daemon=True).start()
        answer = work() + b"\n"
        while answer:
            answer = answer[os.write(writer, answer) :]
        run_exit_handlers(0)
    finally:
        os._exit(0)


def _end_with_parent(held: int) -> None:
    os.read(held, 1)
    os._exit(1)


def _read_line(descriptor: int, lifeline_fd: int | None) -> bytes:
    """Up to the end of the line, not of the file: a program that the work left running may hold it open."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if lifeline_fd is not None:
        poll.register(lifeline_fd, select.POLLIN)
    line = b""
    while not line.endswith(b"\n"):
        if descriptor not in dict(poll.poll()):
            raise NodeError("the program that starts this node is gone; nothing was started")
        part = os.read(descriptor, 65536)
        if not part:
            return b""
        line += part
    return line.rstrip(b"\n")
