"""Activities that run in a process of their own: a fresh interpreter imports this module."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

from continuum import activity, activity_info, heartbeat, last_heartbeat


@activity(isolate=True)
def pid_and_double(number: int) -> list[int]:
    return [os.getpid(), 2 * number]


@activity(isolate=True)
async def double_on_a_loop(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


@activity(isolate=True)
def refuse() -> None:
    raise LookupError("nothing here")


@activity(isolate=True)
def tell() -> list[object]:
    before = last_heartbeat()
    heartbeat("half", 50)
    info = activity_info()
    return [before, info.activity, info.attempt, info.idempotency_key, info.deadline is not None]


@activity(isolate=True)
def end_hard(how: str) -> None:
    heartbeat("begun")
    if how == "exit":
        os._exit(3)
    os.kill(os.getpid(), signal.SIGSEGV)


@activity(isolate=True)
def wait_for_word(marker: str) -> list[object]:
    """Say who we and our keeper are, wait for a file, and end a fork of our own by SIGTERM."""
    path = Path(marker)
    path.with_suffix(".new").write_text(f"{os.getpid()} {os.getppid()}")
    path.with_suffix(".new").rename(path)
    while not path.with_name("word").exists():
        time.sleep(0.005)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, b"!")
        threading.Event().wait()
    os.read(reader, 1)
    os.kill(child, signal.SIGTERM)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), "ended"]


@activity(isolate=True)
def hang_with_child(marker: str) -> None:
    """Start a process of our own, say who we are, and never end."""
    child = subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait()"])
    path = Path(marker)
    path.with_suffix(".new").write_text(f"{os.getpid()} {child.pid}")
    path.with_suffix(".new").rename(path)
    threading.Event().wait()


@activity(isolate=True)
def say_junk() -> None:
    """Write what is no frame to the worker, as a library does that prints to a descriptor it takes for its own."""
    answers = int(sys.argv[4])
    os.write(answers, b"\xff" * 64)
    threading.Event().wait()


@activity(isolate=True)
def kill_the_keeper(marker: str) -> None:
    """Leave a process behind that has our pipes open, and kill the process above us."""
    child = os.fork()
    if child == 0:
        threading.Event().wait()
    Path(marker).write_text(f"{os.getpid()} {child}")
    os.kill(os.getppid(), signal.SIGKILL)
    threading.Event().wait()


@activity(isolate=True)
def measure(text: str) -> str:
    return text + text


def running(*pids: int) -> list[int]:
    return [pid for pid in pids if _runs(pid)]


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def pids_in(marker: Path) -> list[int]:
    return [int(word) for word in marker.read_text().split()]
