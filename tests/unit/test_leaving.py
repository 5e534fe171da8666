"""How forked processes leave: with their own exit handlers and pools, and in a bounded time. Process 1 collects."""

from __future__ import annotations

import subprocess
import sys

import pytest

LEAVES = """
import atexit, os, sys, threading
from concurrent.futures import ProcessPoolExecutor
from continuum.supervisor import leaving

def say(text):
    os.write(1, text.encode() + b" ")

atexit.register(say, "parent")
if __name__ == "__main__":
    pid = os.fork()
    if pid == 0:
        leaving.forget_exit_handlers()
        atexit.register(say, "child")
        pool = ProcessPoolExecutor(1)
        say(str(pool.submit(abs, -7).result()))
        threading.Thread(target=lambda: say("thread")).start()
        leaving.run_exit_handlers(0)
        say("left" if not any(process.is_alive() for process in (pool._processes or {}).values()) else "pool")
        os._exit(0)
    os.waitpid(pid, 0)
"""

HANGS = """
import atexit, os, threading
from continuum.supervisor import leaving

leaving.EXIT_S = 0.1
pid = os.fork()
if pid == 0:
    leaving.forget_exit_handlers()
    HOW
    leaving.run_exit_handlers(3)
    os._exit(4)
os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""

COLLECTS = """
import os
from continuum.supervisor.spec import ChildSpec, SupervisorSpec
from continuum.supervisor.supervisor import Supervisor

supervisor = Supervisor(SupervisorSpec("root", ()), {}, node="n", boot="b", log=print)
strangers = [os.posix_spawn("/bin/true", ["true"], {}) for _ in range(3)]
alive = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
for pid in strangers:
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
supervisor._reap_strangers()
left = []
for pid in strangers:
    try:
        left.append(os.waitpid(pid, os.WNOHANG))
    except ChildProcessError:
        pass
assert left == [], left
assert os.waitpid(alive, os.WNOHANG) == (0, 0)
os.kill(alive, 9)
"""


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)


def test_a_fork_ends_its_threads_and_pools_and_runs_its_own_exit_handlers() -> None:
    said = run(LEAVES)
    words = said.stdout.split()
    assert sorted(words[:-1]) == ["7", "child", "left", "thread"], said.stderr
    assert words[-1] == "parent", "its handlers are run by itself, once"


@pytest.mark.parametrize(
    "how",
    [
        "atexit.register(threading.Event().wait)",
        "threading.Thread(target=threading.Event().wait).start()",
    ],
    ids=["an exit handler", "a thread"],
)
def test_what_never_ends_is_left_after_a_bounded_time(how: str) -> None:
    assert run(HANGS.replace("HOW", how)).returncode == 3


def test_process_1_collects_what_others_have_left_and_nothing_that_lives() -> None:
    said = run(COLLECTS)
    assert said.returncode == 0, said.stderr
