"""A node as a part of a program: the same tree of processes, below the program's own."""

from __future__ import annotations

import itertools
import json
import math
import os
import secrets
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from continuum.config import resolve_database
from continuum.core.naming import importable_name
from continuum.errors import ConfigurationError, NodeError
from continuum.model.retry import Duration, seconds_of, wait_s_of
from continuum.node.config import NodeConfig
from continuum.node.launch import COMMAND, Launch, Report, encode_launch, read_report
from continuum.node.rundir import ProcessList, ProcessRow, read_processes
from continuum.node.tree import tree_of
from continuum.surroundings import interpreter, pipe

_POLL_S = 0.02
_STOP_EXTRA_S = 30.0  # beyond what the tree takes at most
_numbers = itertools.count(1)
_running: weakref.WeakSet[Node] = weakref.WeakSet()


class Node:
    """A node that lives as long as the ``with`` block, and never longer than this program::

        with continuum.Node("shop.flows", workers=4) as node:
            node.wait_ready(timeout=30)

    It is started as a fresh process, so the program may have threads; its application is imported from this program's
    ``sys.path``. Arguments are those of :class:`NodeConfig`; ``drain`` is its ``drain_s``, and may be given by that
    name; ``name`` is unique for each by default. Several nodes may run in one program. Not shared between threads; a
    forked child of the program has no part in it.
    """

    def __init__(
        self,
        *modules: str,
        database: str | None = None,
        instance: str = "default",
        engines: int = 1,
        workers: int = 2,
        name: str | None = None,
        queues: Sequence[str] = ("default",),
        slots: int = 100,
        migrate: bool = False,
        log_level: str = "warning",
        drain: Duration = 30.0,
        cluster: bool = True,
        bind: str | None = None,
        join: Sequence[str] = (),
        advertise: str | None = None,
        cluster_key_file: str | None = None,
        drain_s: Duration | None = None,
    ) -> None:
        self._config = NodeConfig(
            tuple(map(_importable, modules)),
            instance=instance,
            name=name or f"{NodeConfig(modules).node_name[:40]}-{secrets.token_hex(4)}-{next(_numbers)}",
            engines=engines,
            workers=workers,
            queues=tuple(queues),
            slots=slots,
            migrate=migrate,
            log_level=log_level,
            drain_s=seconds_of(drain if drain_s is None else drain_s),
            cluster=cluster,
            bind=bind,
            join=tuple(join),
            advertise=advertise,
            cluster_key_file=cluster_key_file,
        )
        self._choice = resolve_database(database)
        self._process: subprocess.Popen[bytes] | None = None
        self._report = Report()

    @property
    def name(self) -> str:
        """The node's name, as owners of runs carry it."""
        return self._config.node_name

    @property
    def database_url(self) -> str:
        """The URL of the database in use, once started; it may contain a password.

        Raises:
            NodeError: the node was not started.
        """
        if not self._report.database_url:
            raise NodeError(f"node {self.name} was not started; use it in a `with` block, or call start()")
        return self._report.database_url

    def start(self) -> None:
        """Start the processes, and return once the database and the application have been found fit.

        Raises:
            NodeError: they are not, in one line; nothing runs.
        """
        if self._process is not None:
            raise NodeError(f"node {self.name} was started already; stop it before it is started again")
        try:
            self._report = self._launch()
        except BaseException:
            self.stop(graceful=False)
            raise
        if self._report.error is not None:
            self._end(_STOP_EXTRA_S)
            raise NodeError(self._report.error)

    def stop(self, graceful: bool = True) -> None:
        """End the processes: in order, activities getting their time to finish, or all at once. Again: no effect."""
        if self._process is None:
            return
        if graceful:
            self._process.terminate()
        else:
            self._process.kill()  # the children end with it, without being asked
        self._end(sum(leaf.shutdown_s for leaf in tree_of(self._config).leaves()) + _STOP_EXTRA_S)

    def processes(self) -> list[ProcessRow]:
        """The live processes, the supervisor first; none when the node does not run."""
        listed = self._listed()
        return [] if listed is None else listed.rows()

    def wait_ready(self, timeout: Duration | None = 60.0) -> None:
        """Return when every process does its work; ``timeout``: seconds or timedelta, None for none.

        Raises:
            TimeoutError: some do not by then.
            NodeError: the node has ended, or was not started.
        """
        limit_s = math.inf if timeout is None else wait_s_of(timeout)
        give_up_at = time.monotonic() + limit_s
        while missing := self._missing():
            if time.monotonic() >= give_up_at:
                raise TimeoutError(f"node {self.name}: not ready after {limit_s:g} s: {', '.join(missing)}")
            time.sleep(_POLL_S)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self) -> Report:
        report_fd, their_end = pipe()
        try:
            try:
                self._process = _spawn(their_end)
                _running.add(self)
            finally:
                os.close(their_end)
            launch = encode_launch(Launch.of(self._config, self._choice, their_end))
            assert self._process.stdin is not None, "it is the lifeline"
            with suppress(BrokenPipeError):  # it has ended at once: there will be no report
                self._process.stdin.write(launch)
            return read_report(report_fd)
        finally:
            os.close(report_fd)

    def _end(self, limit_s: float) -> None:
        """Wait for the supervisor, which outlives all its children, and be as before the start."""
        assert self._process is not None, "called for a started node"
        try:
            self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._let_go()

    def _let_go(self) -> None:
        """Close our end of the lifeline."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None
        _running.discard(self)

    def _listed(self) -> ProcessList | None:
        if self._process is None or self._process.poll() is not None:
            return None
        return read_processes(Path(self._report.run_directory))

    def _missing(self) -> list[str]:
        """Names of the processes that do not work yet."""
        listed = self._listed()
        if listed is None:
            code = None if self._process is None else self._process.returncode
            how = "was not started" if code is None else f"has ended with exit code {code}; its log says why"
            raise NodeError(f"node {self.name} {how}")
        return listed.missing()


def _importable(module: str) -> str:
    """The name by which a fresh process imports a module of this program: ``__main__`` is another one there."""
    name = importable_name(module)
    if name is None:
        raise ConfigurationError(
            f"{module} is a program without a file, which a node cannot import; nothing was started. Put the workflows "
            "into a module, such as flows.py, and name that"
        )
    return name


def _spawn(report_fd: int) -> subprocess.Popen[bytes]:
    search_path = [os.path.abspath(entry) for entry in sys.path]  # noqa: PTH100 - "" is the current folder
    return subprocess.Popen(
        [interpreter(), "-c", COMMAND, json.dumps(search_path)],
        bufsize=0,
        stdin=subprocess.PIPE,
        pass_fds=(report_fd,),
        start_new_session=True,  # Ctrl-C is for the program, which then stops its node
    )


def _let_go_all() -> None:
    for node in list(_running):
        node._let_go()


os.register_at_fork(after_in_child=_let_go_all)  # a lifeline held by a child would outlive the program
