"""The process that others are forked from (:mod:`tests.forks`): it imports, and runs nothing."""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import sys
from typing import Any, NoReturn

import continuum
import continuum_cli


def serve(control_fd: int) -> None:
    """Run what is asked for, each in a process of its own, until nobody can ask any more."""
    _import_all()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for keepers
    with socket.socket(fileno=control_fd) as control:
        request = _next_program(control)
    if request is not None:  # this is the program's process
        _become(request)


def _next_program(control: socket.socket) -> Any:
    """Fork a keeper for each request. Return it in the process of its program, and None at the end."""
    while True:
        byte, descriptors, _flags, _address = socket.recv_fds(control, 1, 4)
        if not byte:
            return None
        if os.fork() == 0:
            control.close()
            return _keep(*descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _import_all() -> None:
    for package in (continuum, continuum_cli):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__") and not module.name.startswith("continuum.testing"):
                importlib.import_module(module.name)
    gc.collect()
    gc.freeze()  # else each fork would copy the pages that a collection writes


def _keep(answer_fd: int, *standard: int) -> Any:
    """Fork the program and tell how it ended; return in its process, with what it is to do."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    answers = socket.socket(fileno=answer_fd)
    with answers.makefile("r") as lines:
        request = json.loads(lines.readline())
    pid = os.fork()
    if pid:
        for descriptor in standard:
            os.close(descriptor)
        _tell(answers, pid)
    answers.close()
    for number, descriptor in enumerate(standard):
        os.dup2(descriptor, number)
        os.close(descriptor)
    return request


def _tell(answers: socket.socket, pid: int) -> NoReturn:
    try:
        answers.sendall(str(pid).encode())
        answers.recv(1)  # else both numbers could arrive as one
        _, status = os.waitpid(pid, 0)
        answers.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    finally:
        os._exit(0)


def _become(request: Any) -> None:
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = ["-c", *request["arguments"]]
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - a descriptor, open to the end
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    exec(compile(request["program"], "<string>", "exec"), sys.modules["__main__"].__dict__)
