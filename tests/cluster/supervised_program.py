"""The program of `test_supervisor_process.py`: a supervisor with children that report what they see.

Runs as a process of its own. Every process of it writes one JSON line per event to standard output, and
holds that pipe open as long as it lives: its end of file means that nobody is left.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from continuum.errors import ConfigurationError
from continuum.supervisor.control import ControlMessage, PeerDown, PeerUp, Ping, Stop
from continuum.supervisor.process import ChildContext
from continuum.supervisor.spec import ChildSpec, SupervisorSpec
from continuum.supervisor.supervisor import ProcessInfo, Supervisor

LIFELINE_FD = 3  # a copy of standard input, which is left as it is for the children to replace
WAIT = "import select; select.select([], [], [])"


def say(event: str, **fields: object) -> None:
    os.write(1, (json.dumps({"event": event, **fields}) + "\n").encode())


def serve(context: ChildContext, on_stop: Callable[[], bool]) -> int:
    """Be ready, answer pings, report messages; leave when ``on_stop`` says so or the supervisor is dead."""
    name = context.child_id
    say(
        "born",
        child=name,
        pid=os.getpid(),
        incarnation=context.incarnation,
        crew=context.crew,
        peers=context.peers,
        fds=len(list(Path("/dev/fd").iterdir())),
        stdin=os.read(0, 1).decode(),
        wakeup_fd=signal.set_wakeup_fd(-1),
    )
    context.control.ready("serving")
    while not context.control.closed:
        select.select([context.control], [], [])
        for message in context.control.receive():
            if answer(context, message) and on_stop():
                say("left", child=name)
                return 0
    return 1


def answer(context: ChildContext, message: ControlMessage) -> bool:
    """True for `Stop`."""
    match message:
        case Ping(n):
            context.control.pong(n)
        case PeerUp(child_id, incarnation, crew):
            say("peer_up", child=context.child_id, peer=child_id, incarnation=incarnation, crew=crew)
        case PeerDown(child_id, incarnation, crew):
            say("peer_down", child=context.child_id, peer=child_id, incarnation=incarnation, crew=crew)
        case Stop(grace_s):
            say("asked_to_stop", child=context.child_id, grace_s=grace_s)
            return True
    return False


def obedient(context: ChildContext) -> int:
    return serve(context, on_stop=lambda: True)


def stubborn(context: ChildContext) -> int:
    return serve(context, on_stop=lambda: False)


def hopeless(context: ChildContext) -> int:
    context.control.fatal("shop.flows cannot be imported", 3)
    return 1


def misconfigured(context: ChildContext) -> int:
    raise ConfigurationError("the port 5432 is taken")


def crashing(context: ChildContext) -> int:
    raise ZeroDivisionError("always")


def babbling(context: ChildContext) -> int:
    context.control.ready()
    os.write(context.control.fileno(), b"\xff" * 100)
    select.select([], [], [])
    return 0


def forking(context: ChildContext) -> int:
    """What an activity's own forks and programs make of SIGTERM, which its worker leaves to the supervisor."""
    reader, writer = os.pipe()
    fork = os.fork()
    if fork == 0:
        os.write(writer, b"!")
        select.select([], [], [])
    program = os.posix_spawn(sys.executable, [sys.executable, "-c", WAIT], os.environ)
    os.read(reader, 1)
    for pid in (fork, program):
        os.kill(pid, signal.SIGTERM)
        say("grandchild", code=os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    return serve(context, on_stop=lambda: True)


MAINS = {
    "forking": forking,
    "engine": obedient,
    "worker": obedient,
    "stubborn": stubborn,
    "hopeless": hopeless,
    "misconfigured": misconfigured,
    "crashing": crashing,
    "babbling": babbling,
}


def main() -> int:
    """``argv``: JSON with ``children`` (pairs of id and role) and options of the spec and the supervisor."""
    options = json.loads(sys.argv[1])
    os.dup2(0, LIFELINE_FD, inheritable=False)
    children = tuple(
        ChildSpec(name, role, shutdown_s=options.get("shutdown_s", 30.0))
        for name, role in options["children"]
    )
    supervisor = Supervisor(
        SupervisorSpec("root", children, max_restarts=options.get("max_restarts", 3), max_seconds=60.0),
        MAINS,
        node="test",
        boot="0badcafe",
        log=lambda line: say("log", line=line),
        on_change=lambda infos: say("processes", states=[state_of(info) for info in infos]),
        lifeline_fd=LIFELINE_FD,
        ping_interval_s=options.get("ping_interval_s", 2.0),
        ping_timeout_s=options.get("ping_timeout_s", 60.0),
    )
    if "spare_fds" in options:
        limit = len(list(Path("/dev/fd").iterdir())) - 1 + options["spare_fds"]
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    code = supervisor.run()
    say("ended", reason=supervisor.reason, code=code)
    return code


def state_of(info: ProcessInfo) -> str:
    return f"{info.child_id} {info.role} {info.incarnation} {info.restarts} {info.state}"


if __name__ == "__main__":
    sys.exit(main())
