"""A node in the foreground: settings, run directory, database, checks, and then the supervisor.

    resolve ─► lock the run directory ─► attach to the database ─► check in a fork ─► supervise

Everything that can be wrong is found before the first child is forked, and is one line. A stop signal is a graceful
stop at any of these steps. The embedded server is attached by this process, whose life is the node's: that
opens and closes a connection, which no child can inherit because none exists yet.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from continuum.config import (
    DatabaseChoice,
    mask_password,
    open_database,
    resolve_cluster_key,
    resolve_database,
)
from continuum.errors import ConfigurationError, ContinuumError
from continuum.node.addresses import bind_of
from continuum.node.beginnings import FileBeginnings, Life
from continuum.node.checks import check_start
from continuum.node.child import Site
from continuum.node.config import NodeConfig
from continuum.node.logs import log_supervisor, start_logging
from continuum.node.roles import mains_of
from continuum.node.rundir import ProcessList, RunDirectory, choose_run_directory
from continuum.node.tree import tree_of
from continuum.runtime.role import log
from continuum.supervisor.signals import STOPS, is_free
from continuum.supervisor.supervisor import ProcessInfo, Supervisor
from continuum.surroundings import open_standard

EXIT_FAILED, EXIT_USAGE = 1, 2
# Longer than a call to a database that hangs: killing a worker for that would cost its activities an attempt.
_SILENCE_S_MAX = 45.0
_START_S_MAX = 300.0  # large applications import for a long time

OnStart = Callable[[Site], None]


class _Stopped(BaseException):
    """A stop signal came before there was a supervisor to take it."""


def run_node(config: NodeConfig) -> int:
    """Run a node in the foreground until it is stopped or fails, and return the exit code.

    0 after a graceful stop, 1 when it could not start or ended by itself, 2 for settings that cannot work; the
    reason is the last line on standard error. To be called in the main thread of a process without others.
    """
    return exit_code_of(lambda: supervise(config, resolve_database(config.database)))


def exit_code_of(work: Callable[[], int], on_error: Callable[[str], None] = lambda line: None) -> int:
    """Do ``work``; its failure becomes one line on standard error, and for ``on_error``, and an exit code."""
    try:
        return work()
    except ContinuumError as error:
        line = " ".join(mask_password(str(error)).split())
        print(f"continuum: {line}", file=sys.stderr, flush=True)
        on_error(line)
        return EXIT_USAGE if isinstance(error, ConfigurationError) else EXIT_FAILED


def supervise(
    config: NodeConfig,
    choice: DatabaseChoice,
    *,
    lifeline_fd: int | None = None,
    on_start: OnStart = lambda site: None,
) -> int:
    """Prepare the node and run its supervisor to the end; ``on_start`` is called in between.

    Raises:
        ContinuumError: it cannot start; nothing is left of it.
    """
    open_standard()
    start_logging("supervisor", config.log_level)
    with _stop_signals() as disarm, ExitStack() as stack:
        try:
            site = _prepare(config, choice, stack, lifeline_fd)
            boot = secrets.token_hex(4)
            stack.callback(Life.begin(site.run_directory.path.parent, boot).close)
            processes = _supervisor(site, boot, lifeline_fd)
            on_start(site)
            code = processes.run()
        except _Stopped:
            log.info("stopped before anything was started")
            return 0
        finally:
            disarm()  # nothing may interrupt the cleaning up
        log.log(
            logging.ERROR if code else logging.INFO,
            "node %s has ended: %s",
            config.node_name,
            processes.reason,
        )
        return code


def _prepare(config: NodeConfig, choice: DatabaseChoice, stack: ExitStack, lifeline_fd: int | None) -> Site:
    key = resolve_cluster_key(config.cluster_key_file) if config.cluster else None
    if config.cluster:
        bind_of(config, key)
    path = choose_run_directory(choice, config.instance, config.node_name, Path.cwd())
    run_directory = RunDirectory(path)
    stack.callback(run_directory.close)
    database = stack.enter_context(open_database(choice))
    app = check_start(
        config,
        database.url,
        migrate_schema=config.migrate or database.embedded,
        former_owners=run_directory.former_owners,
        beginnings=FileBeginnings(path.parent, ""),
        release=run_directory.release,
        lifeline_fd=lifeline_fd,
    )
    log.info(
        "node %s: instance %s, database %s (%s), %d workflows and %d activities, run directory %s",
        *(config.node_name, config.instance, mask_password(database.url), choice.source),
        *(len(app.workflows), len(app.activities), path),
    )
    return Site(config, choice, database.url, run_directory, app.versions, key)


def _supervisor(site: Site, boot: str, lifeline_fd: int | None) -> Supervisor:
    config = site.config
    tree = tree_of(config)
    wanted = tuple(leaf.id for leaf in tree.leaves() if not leaf.on_demand)

    def publish(infos: list[ProcessInfo]) -> None:
        site.run_directory.publish(
            ProcessList(os.getpid(), config.node_name, config.instance, boot, tuple(infos), wanted)
        )

    publish([])
    return Supervisor(
        tree,
        mains_of(site),
        node=config.node_name,
        boot=boot,
        log=log_supervisor,
        on_change=publish,
        lifeline_fd=lifeline_fd,
        ping_timeout_s=_SILENCE_S_MAX,
        start_timeout_s=_START_S_MAX,
    )


@contextmanager
def _stop_signals() -> Iterator[Callable[[], None]]:
    """Until the function it gives is called, or the supervisor takes over, a stop signal raises ``_Stopped``."""
    armed = True

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if armed:
            disarm()
            _raise_stopped()

    def disarm() -> None:
        nonlocal armed
        armed = False

    before = {number: signal.signal(number, on_signal) for number in STOPS if is_free(number)}
    try:
        yield disarm
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise_stopped() -> NoReturn:
    raise _Stopped
