"""Hosts of a test: network namespaces around one that routes between them, and can stop doing so without a word.

::

    root namespace (PostgreSQL) ─┐
    host a (198.18.n.11) ────────┼── switch: a veth pair each, forwards, obeys `cut`
    host b (198.18.n.12) ────────┘

A cut drops packets in the middle, as a pulled cable or a broken firewall does: nobody is told, connections stay open
at both ends. It works in one direction as well as in both. 198.18.0.0/15 is set aside for measurements of networks
(RFC 2544 §C.2.2). Needs root and ``ip``; elsewhere the hosts are addresses 127.0.0.x, and nothing can be cut.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

import psycopg

from continuum.embedded import EmbeddedPostgres

DATABASE = "database"  # the name of the root namespace, where the server listens
SUBNETS = 250
_numbers = itertools.count(os.getpid())


class Hosts(Protocol):
    """``database_url`` is reachable from each host. ``cuts``: why hosts cannot be cut apart, "" if they can."""

    database_url: str
    cuts: str

    def address(self, host: str) -> str: ...

    def command(self, host: str) -> list[str]:
        """What goes in front of a command that is to run on this host."""
        ...


class LoopbackHosts:
    """Hosts that are addresses of the loopback interface."""

    def __init__(self, names: Sequence[str], database_url: str, reason: str) -> None:
        self.database_url, self.cuts = database_url, reason
        self._addresses = {name: f"127.0.0.{11 + index}" for index, name in enumerate(names)}

    def address(self, host: str) -> str:
        return self._addresses[host]

    def command(self, host: str) -> list[str]:
        return []


class Network:
    """Hosts that are network namespaces."""

    cuts = ""

    def __init__(self, names: Sequence[str], stack: ExitStack) -> None:
        self._names = list(names)
        self._subnet, self._tag = self._make_switch(stack)
        self._cut: set[tuple[str, str]] = set()
        for name in self._names:
            self._make_host(name, stack)
        self.database_url = ""

    def address(self, host: str) -> str:
        """The host's address; ``DATABASE`` is a host, too."""
        number = 1 if host == DATABASE else 11 + self._names.index(host)
        return f"{self._subnet}.{number}"

    def command(self, host: str) -> list[str]:
        return ["ip", "netns", "exec", self._space(host)]

    def cut(self, *hosts: str, from_: Sequence[str] | None = None) -> None:
        """Let nothing pass between these hosts and those of ``from_`` (all others but the database), both ways."""
        others = self._others(hosts) if from_ is None else from_
        for host, other in itertools.product(hosts, others):
            self.cut_way(host, other)
            self.cut_way(other, host)

    def cut_way(self, source: str, target: str) -> None:
        """Drop what ``source`` sends to ``target``; the other direction stays as it is."""
        if (source, target) not in self._cut:
            self._cut.add((source, target))
            self._rule("add", source, target)

    def cut_off(self, host: str) -> None:
        """Pull the host's cable: it reaches nobody, not the database either."""
        self.cut(host, from_=[*self._others([host]), DATABASE])

    def heal(self) -> None:
        """Let everything pass again."""
        for source, target in self._cut:
            self._rule("del", source, target)
        self._cut.clear()

    def _others(self, hosts: Sequence[str]) -> list[str]:
        return [name for name in self._names if name not in hosts]

    def _rule(self, verb: str, source: str, target: str) -> None:
        _ip(
            f"-n {self._space('switch')} rule {verb} from {self.address(source)} to {self.address(target)} blackhole"
        )

    def _space(self, host: str) -> str:
        return f"ctm-{self._tag}-{host}"

    def _make_switch(self, stack: ExitStack) -> tuple[str, int]:
        """Take a subnet that nobody on this machine uses; connect the root namespace to a new switch."""
        for number in itertools.islice(_numbers, SUBNETS):
            tag = number % SUBNETS
            subnet, space, here = f"198.18.{tag}", f"ctm-{tag}-switch", f"ctm{tag}"
            if subprocess.run(["ip", "netns", "add", space], capture_output=True).returncode:
                continue  # another test has it
            stack.callback(_ip, f"netns del {space}")
            _forward(space)
            _ip(f"link add {here} type veth peer name home netns {space}")
            stack.callback(subprocess.run, ["ip", "link", "del", here], capture_output=True)
            _ip(f"addr add {subnet}.1/32 dev {here}")
            _ip(f"link set {here} up")
            _ip(f"-n {space} link set home up")
            _ip(f"-n {space} addr add {subnet}.254/32 dev home")
            _ip(f"-n {space} route add {subnet}.1/32 dev home")
            _ip(f"route add {subnet}.0/24 via {subnet}.254 dev {here} src {subnet}.1 onlink")
            return subnet, tag
        raise AssertionError("every subnet of 198.18.0.0/16 is in use")

    def _make_host(self, name: str, stack: ExitStack) -> None:
        space, switch, wire = self._space(name), self._space("switch"), f"v{self._names.index(name)}"
        address = self.address(name)
        _ip(f"netns add {space}")
        stack.callback(_ip, f"netns del {space}")
        _ip(f"link add {wire} netns {switch} type veth peer name eth0 netns {space}")
        _ip(f"-n {switch} link set {wire} up")
        _ip(f"-n {switch} addr add {self._subnet}.254/32 dev {wire}")
        _ip(f"-n {switch} route add {address}/32 dev {wire}")
        _ip(f"-n {space} link set lo up")
        _ip(f"-n {space} link set eth0 up")
        _ip(f"-n {space} addr add {address}/32 dev eth0")
        _ip(f"-n {space} route add default via {self._subnet}.254 dev eth0 src {address} onlink")


@contextmanager
def hosts_of(names: Sequence[str], server: EmbeddedPostgres) -> Iterator[Hosts]:
    """Give hosts of these names and a server that they reach; ``server`` was made with a port and ``SETTINGS``."""
    server.attach()
    reason = why_not()
    if reason:
        yield LoopbackHosts(names, server.tcp_url, reason)
        return
    with ExitStack() as stack:
        network = Network(names, stack)
        network.database_url = _open_to(server, network.address(DATABASE))
        yield network


SETTINGS = {"fsync": "off", "listen_addresses": "*"}  # these tests kill processes, never the machine


@cache
def why_not() -> str:
    """Return why namespaces cannot be made here; "" if they can."""
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    if shutil.which("ip") is None:
        return "there is no `ip` (Debian: iproute2)"
    space = f"ctm-try-{os.getpid()}"
    try:
        _ip(f"netns add {space}")
        try:
            _ip(f"-n {space} link add here type veth peer name there")
            _ip(f"-n {space} rule add from 198.18.0.1 to 198.18.0.2 blackhole")
            _forward(space)
        finally:
            _ip(f"netns del {space}")
    except AssertionError as error:
        return f"this machine makes no hosts of network namespaces: {error}"
    return ""


def _open_to(server: EmbeddedPostgres, address: str) -> str:
    """Let the server take passwords from the subnet; return its URL there."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        row = connection.execute("show hba_file").fetchone()
        assert row is not None
        with Path(row[0]).open("a") as file:
            file.write(f"host all all {address}/24 scram-sha-256\n")
        connection.execute("select pg_reload_conf()")
    parts = urlsplit(server.tcp_url)
    return urlunsplit(parts._replace(netloc=parts.netloc.replace("127.0.0.1", address)))


def _forward(space: str) -> None:
    """Let a namespace pass packets on."""
    command = ["ip", "netns", "exec", space, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"


def _ip(arguments: str) -> None:
    done = subprocess.run(["ip", *arguments.split()], capture_output=True, text=True)
    assert done.returncode == 0, f"ip {arguments}: {done.stderr.strip()}"
