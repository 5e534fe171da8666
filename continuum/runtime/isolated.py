"""The process of its own that an ``isolate=True`` attempt runs in: its life, from birth to the last of its children.

    worker ── fresh interpreter = keeper ── fork ──► activity process, leader of a process group
                    │ waits: for the end of the activity, or of the lifeline
                    └── then kills the whole group

The keeper imports nothing of the application and has one thread, so it answers whatever the activity does to its
interpreter. The lifeline is a pipe whose other end only the worker holds: closing it kills the attempt, and so does
the worker's death (A9). Should the keeper be killed, the kernel kills the activity process with it, and the worker,
which sees the end of a pipe that only the keeper holds, kills the rest of the group.

Frames on the two other pipes are msgpack behind their length: ``Prepare`` and ``Run`` in, ``Beat`` and ``Ended`` out.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import os
import select
import signal
import sys
from contextlib import suppress
from threading import Lock
from typing import BinaryIO, NoReturn

import msgspec

from continuum.core.attempt import Outcome, perform, perform_async, unknown
from continuum.core.definitions import registry
from continuum.errors import UnknownWorkflowError, WireError
from continuum.runtime.job import info_of
from continuum.wire.messages import Execute

_PR_SET_PDEATHSIG = 1
_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_LENGTH_BYTES = 4
FRAME_BYTES_MAX = 1 << 30  # far above any payload


class Prepare(msgspec.Struct, frozen=True, array_like=True, tag="p"):
    """Import this module: an attempt of an activity of it is likely to come."""

    module: str


class Run(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    """Run this attempt. ``left_s``: until it times out."""

    module: str
    task: Execute
    left_s: float | None


class Beat(msgspec.Struct, frozen=True, array_like=True, tag="b"):
    details: bytes


class Ended(msgspec.Struct, frozen=True, array_like=True, tag="e"):
    outcome: Outcome


Frame = Prepare | Run | Beat | Ended
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)


def encode_frame(frame: Frame) -> bytes:
    data = _encoder.encode(frame)
    return len(data).to_bytes(_LENGTH_BYTES, "big") + data


def write_frame(descriptor: int, frame: Frame) -> None:
    data = encode_frame(frame)
    while data:
        data = data[os.write(descriptor, data) :]


def take_frame(said: bytearray) -> Frame | None:
    """Take the next frame out of what has come so far; None if it is not all here.

    Raises:
        WireError: these bytes are no frame.
    """
    if len(said) < _LENGTH_BYTES:
        return None
    end = _LENGTH_BYTES + int.from_bytes(said[:_LENGTH_BYTES], "big")
    if not _LENGTH_BYTES < end <= FRAME_BYTES_MAX:
        raise WireError(f"{end - _LENGTH_BYTES} is no length of a frame")
    if len(said) < end:
        return None
    try:
        frame = _decoder.decode(memoryview(said)[_LENGTH_BYTES:end].tobytes())
    except msgspec.MsgspecError as error:
        raise WireError(f"this is no frame: {error}") from error
    del said[:end]
    return frame


def read_frame(stream: BinaryIO) -> Frame | None:
    """Return the next frame, None if the other side has ended, in the middle of one too."""
    head = stream.read(_LENGTH_BYTES)
    return take_frame(bytearray(head + stream.read(int.from_bytes(head, "big"))))


def main(lifeline: int, requests: int, answers: int, life: int) -> NoReturn:
    """The life of the keeper, and in its fork that of the activity process."""
    for descriptor in (lifeline, requests, answers, life):
        os.set_inheritable(descriptor, False)
    for number in _STOPS:  # the worker decides when it is over, also when every process is asked to stop
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _note)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, _note)
    keeper = os.getpid()
    process = os.fork()
    if process == 0:
        os.setpgid(0, 0)
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != keeper:
            os._exit(1)  # the keeper died before the kernel was told
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.register_at_fork(after_in_child=_default_signals)
        for descriptor in (lifeline, ended, wake, life):
            os.close(descriptor)
        _serve(requests, answers)
    with suppress(OSError):  # the fork was quicker
        os.setpgid(process, process)
    with suppress(OSError):  # the worker is gone
        os.write(life, process.to_bytes(8, "big"))
    os.close(requests)
    os.close(answers)
    os._exit(_watch(process, lifeline, ended))


def _note(_number: int, _frame: object) -> None:
    """What the wakeup descriptor says, or nothing. A handler and not SIG_IGN, which programs that the activity executes
    would inherit."""


def _default_signals() -> None:
    """In what the activity forks: signals are its own again."""
    for number in _STOPS:
        if signal.getsignal(number) is _note:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def _watch(process: int, lifeline: int, ended: int) -> int:
    """Return how the process ended, as a shell does: its exit code, or 128 and the signal."""
    poll = select.poll()
    poll.register(lifeline, 0)  # only its end is of interest
    poll.register(ended, select.POLLIN)
    status: int | None = None
    while status is None:
        if any(descriptor == lifeline for descriptor, _ in poll.poll()):
            break
        os.read(ended, 4096)
        reaped, value = os.waitpid(process, os.WNOHANG)
        status = value if reaped else None
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
    if status is None:
        _, status = os.waitpid(process, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _serve(requests: int, answers: int) -> NoReturn:
    """The life of the activity process: one attempt."""
    try:
        with os.fdopen(requests, "rb") as stream:
            while (frame := read_frame(stream)) is not None:
                match frame:
                    case Prepare(module):
                        with suppress(Exception, SystemExit):  # said when an attempt needs it
                            importlib.import_module(module)
                    case Run():
                        outcome = _perform(frame, _PipePulse(frame.task.last_heartbeat, answers))
                        for output in (sys.stdout, sys.stderr):
                            with suppress(Exception):
                                output.flush()
                        write_frame(answers, Ended(outcome))
                        os._exit(0)
                    case _:
                        break
    finally:
        os._exit(1)


class _PipePulse:
    """Heartbeats on their way to the worker. Threads of the activity may write, one at a time."""

    def __init__(self, last: bytes | None, answers: int) -> None:
        self.last = last
        self._answers = answers
        self._lock = Lock()

    def beat(self, details: bytes) -> None:
        with self._lock:
            write_frame(self._answers, Beat(details))


def _perform(run: Run, pulse: _PipePulse) -> Outcome:
    task = run.task
    try:
        importlib.import_module(run.module)
        definition = registry.activity(task.activity)
    except UnknownWorkflowError as error:
        return unknown(task.activity, str(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a module may raise anything
        return unknown(task.activity, f"{run.module} cannot be imported: {type(error).__name__}: {error}")
    info = info_of(task, run.left_s)
    if definition.is_async:
        return asyncio.run(perform_async(definition, task.args, lambda: info, pulse))
    return perform(definition, task.args, lambda: info, pulse)
