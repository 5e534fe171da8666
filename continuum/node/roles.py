"""The functions of the node's processes: each builds one role with its ports, and runs it in a shell."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from functools import partial

from continuum.core.definitions import registry
from continuum.core.loop import WorkflowLoop, running_in
from continuum.node.child import Child, Site, child_main
from continuum.node.group import run_group
from continuum.node.listening import Dialler, Listening
from continuum.node.watchdog import Watchdog, limit_of_environment
from continuum.ports.offload import Desk
from continuum.postgres import PostgresStore, open_poster, open_store
from continuum.postgres.notices import secret_channel
from continuum.runtime.dispatcher import Dispatcher
from continuum.runtime.engine import Engine
from continuum.runtime.executor import ThreadAndLoopExecutor
from continuum.runtime.hearing import Hearing
from continuum.runtime.lanes import ThreadOffload
from continuum.runtime.leading import Leading
from continuum.runtime.limits import deaths_of_environment, limits_of_environment
from continuum.runtime.posting import POSTERS, PostingOffload
from continuum.runtime.quarantine import LONE_ENGINE
from continuum.runtime.router import Router
from continuum.runtime.shell import Shell
from continuum.runtime.timer import Timer
from continuum.runtime.wake import Wake
from continuum.runtime.worker import Worker
from continuum.supervisor.process import ChildMain

# A run that survives is given back within moments; one whose activity runs for hours need not be.
_ALONE_S = 60.0


def mains_of(site: Site) -> Mapping[str, ChildMain]:
    """The function of every role, for the supervisor."""
    works = {
        "group": run_group,
        "router": run_router,
        "timer": run_timer,
        "engine": run_engine,
        "worker": run_worker,
        "dispatcher": run_dispatcher,
    }
    return {role: partial(child_main, site, work) for role, work in works.items()}


def run_router(child: Child) -> int:
    with _store(child) as store:
        router = Router(child.ports, store.mailbox)
        shell = child.shell(router)
        with closing(
            Listening(shell, Dialler(child.site, "wake", revives=True), router.notice, router.reconnected)
        ):
            return shell.run()


def run_timer(child: Child) -> int:
    with _store(child) as store:
        return child.shell(Timer(child.ports, store.mailbox)).run()


def run_dispatcher(child: Child) -> int:
    with _store(child) as store:
        role = Dispatcher(
            child.ports,
            store.dispatch,
            store.mailbox,
            child.site.config.queues,
            open_lone_engine=partial(child.demand, LONE_ENGINE) if child.site.config.engines else None,
            engine_deaths_max=deaths_of_environment(),
        )

        def told(name: str, incarnation: str, record: bytes) -> None:
            run_id = running_in(record)
            if run_id is not None:
                role.died_of(name, incarnation, run_id)

        child.on_death(told)
        shell = child.shell(role)
        with closing(Listening(shell, Dialler(child.site, "due"), role.notice, role.reconnected)):
            return shell.run()


def run_engine(child: Child) -> int:
    child.load_app()
    WorkflowLoop.record = child.record
    wake = Wake()
    alone = child.ports.name == LONE_ENGINE
    posters = [
        open_poster(child.site.url, child.site.config.schema, child.application_name) for _ in range(POSTERS)
    ]
    lanes = ThreadOffload(partial(_desk, child), wake)
    with closing(PostingOffload(lanes, posters, wake)) as offload:
        limits, loaded = limits_of_environment(alone=alone), registry.versions()
        engine = Engine(child.ports, offload, registry.workflow, limits, loaded=loaded)
        shell = child.shell(engine, lambda: engine.lost, _ALONE_S if alone else math.inf)

        def complete() -> None:
            for completion in offload.drain():
                engine.complete(completion)

        def woken() -> None:
            wake.clear()
            complete()

        shell.watch(wake.fileno(), woken)
        offload.attach(shell, complete)
        with (
            _hearing(child, shell, engine.hearing) if not alone else nullcontext(),
            closing(Watchdog(child.ports.clock.monotonic, limit_s=limit_of_environment())),
        ):
            return shell.run()


def _hearing(child: Child, shell: Shell, hearing: Hearing) -> AbstractContextManager[Listening]:
    """Let an engine hear what is sent to it alone."""
    channel = secret_channel()
    dial = Dialler(child.site, private=channel)
    return closing(
        Listening(
            shell,
            dial,
            hearing.notice,
            lambda: hearing.begin(channel),
            hearing.interrupt,
            on_deaf=lambda: (
                None
            ),  # router and dispatcher look for it, and whoever starts runs is not told the channel
        )
    )


def run_worker(child: Child) -> int:
    child.load_app()
    wake, leading = Wake(), Leading()
    config = child.site.config
    register, clock = child.register(), child.ports.clock
    executor = ThreadAndLoopExecutor(
        registry.activity, config.slots, wake.set, clock, leading.ready, leading.host, register
    )
    with _store(child) as store, closing(executor):
        worker = Worker(
            child.ports, executor, store.dispatch, config.queues, config.slots, config.drain_s, register
        )
        shell = child.shell(worker)
        shell.watch(wake.fileno(), wake.clear)  # the role looks for results in every tick
        return leading.run(shell, executor)


@contextmanager
def _store(child: Child) -> Iterator[PostgresStore]:
    site = child.site
    with closing(open_store(site.url, site.config.schema, child.application_name)) as store:
        yield store


@contextmanager
def _desk(child: Child) -> Iterator[Desk]:
    with _store(child) as store:
        yield Desk(store.journal, store.dispatch, store.dispatch.holds)
