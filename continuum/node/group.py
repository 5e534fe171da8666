"""The group process: the role with its sockets to other hosts and its thread to the database."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version

from continuum.cluster.agent import Group
from continuum.cluster.load import About
from continuum.cluster.status import ProcessStatus
from continuum.errors import NodeError
from continuum.node.addresses import advertised_of, bind_of, resolve
from continuum.node.child import Child, Site
from continuum.node.rundir import read_processes
from continuum.ports.offload import Desk
from continuum.postgres import open_store
from continuum.runtime.lanes import ThreadOffload
from continuum.runtime.role import log
from continuum.runtime.wake import Wake
from continuum.wire.endpoint import SCHEME, Endpoint
from continuum.wire.tcp import HostSockets

_FILES = 8192
_VERSIONS_MAX = 50  # that are published


def run_group(child: Child) -> int:
    site = child.site
    _raise_file_limit()
    wake = Wake()
    with (
        closing(_open_sockets(child)) as hosts,
        closing(ThreadOffload(partial(_desk, child), wake)) as offload,
    ):
        address = advertised_of(site.config, hosts.address, site.url)
        _say_where(site, hosts.address, address)
        group = Group(
            child.ports,
            hosts,
            offload,
            str(address),
            resolve=partial(resolve, site.config.join),
            processes=partial(_processes, site),
            about=_about(site),
            began=site.began,
        )
        shell = child.shell(group)

        def complete() -> None:
            wake.clear()
            for completion in offload.drain():
                group.complete(completion)

        shell.watch(wake.fileno(), complete)
        return shell.run()


def _raise_file_limit() -> None:
    """A line to another host takes some descriptors at each end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _open_sockets(child: Child) -> HostSockets:
    site = child.site
    try:
        return HostSockets(
            child.sockets, bind_of(site.config, site.key), site.key, child.ports.clock.monotonic
        )
    except NodeError as error:
        if child.starts_node:  # later, the port may be free again in a moment
            child.give_up(str(error))
        raise


def _say_where(site: Site, bound: Endpoint, address: Endpoint) -> None:
    if site.key is not None:
        log.info(
            "listening on %s%s for nodes with key %s; they reach this one at %s",
            *(SCHEME, bound, site.key.fingerprint, address),
        )
    else:
        log.info(
            "listening on %s%s, for nodes on this machine only: there is no cluster key "
            "(`continuum cluster keygen` prints one)",
            *(SCHEME, bound),
        )


def _about(site: Site) -> About:
    versions = site.versions[:_VERSIONS_MAX]
    return About(_version(), site.config.queues, versions, len(site.versions), round(time.time(), 3))


def _version() -> str:
    try:
        return version("continuum")
    except PackageNotFoundError:
        return ""


def _processes(site: Site) -> list[ProcessStatus]:
    listed = read_processes(site.run_directory.path)
    if listed is None:
        return []
    return [ProcessStatus("supervisor", "supervisor", listed.pid, "", 0, "running")] + [
        ProcessStatus(info.child_id, info.role, info.pid, info.incarnation, info.restarts, info.state)
        for info in listed.processes
    ]


@contextmanager
def _desk(child: Child) -> Iterator[Desk]:
    site = child.site
    with closing(open_store(site.url, site.config.schema, child.application_name)) as store:
        yield Desk(store.journal, store.dispatch, store.dispatch.holds)
