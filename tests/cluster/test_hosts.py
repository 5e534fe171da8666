"""The network of the cluster tests does what it says: else they would prove nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from continuum.embedded import EmbeddedPostgres
from tests.cluster.hosts import DATABASE, SETTINGS, Network, hosts_of, why_not
from tests.integration.servers import free_port

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(bool(why_not()), reason=why_not())]

PORT = 7000
LISTEN = f"""
import socket
listener = socket.create_server(("", {PORT}))
print("listening", flush=True)
while True:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(connection.recv(100).upper())
"""
ASK = f"""
import socket, sys
try:
    with socket.create_connection((sys.argv[1], {PORT}), 1) as connection:
        connection.sendall(b"hello")
        print(connection.recv(100).decode())
except TimeoutError:
    print("silence")
"""


@pytest.fixture
def network() -> Iterator[Network]:
    with ExitStack() as stack:
        network = Network(["a", "b", "c"], stack)
        for host in ("a", "b", "c"):
            command = [*network.command(host), sys.executable, "-c", LISTEN]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == "listening\n"
        yield network


def ask(network: Network, source: str, target: str) -> str:
    command = [*network.command(source), sys.executable, "-c", ASK, network.address(target)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


def test_hosts_reach_each_other_until_they_are_cut_apart_and_again_afterwards(network: Network) -> None:
    assert ask(network, "a", "b") == ask(network, "b", "c") == "HELLO"
    network.cut("a")
    assert ask(network, "a", "b") == ask(network, "c", "a") == "silence"
    assert ask(network, "b", "c") == "HELLO"
    network.heal()
    assert ask(network, "a", "b") == ask(network, "c", "a") == "HELLO"


def test_what_one_host_sends_to_another_can_be_dropped_alone(network: Network) -> None:
    network.cut_way("a", "b")
    assert (
        ask(network, "a", "b") == ask(network, "b", "a") == "silence"
    )  # the answer is lost, or the question
    assert ask(network, "c", "a") == ask(network, "c", "b") == "HELLO"


def test_the_database_is_reached_from_a_host_until_its_cable_is_pulled(open_folder: Path) -> None:
    ask_database = "import psycopg, sys; print(psycopg.connect(sys.argv[1], connect_timeout=2).info.host)"

    def answer(host: str) -> subprocess.CompletedProcess[str]:
        command = [*hosts.command(host), sys.executable, "-c", ask_database, hosts.database_url]
        return subprocess.run(command, capture_output=True, text=True, timeout=30)

    server = EmbeddedPostgres(open_folder / "postgres", port=free_port(), settings=SETTINGS)
    try:
        with hosts_of(["a", "b"], server) as hosts:
            assert isinstance(hosts, Network)
            assert answer("a").stdout.strip() == hosts.address(DATABASE)
            hosts.cut_off("a")
            assert "timeout" in answer("a").stderr
            assert answer("b").stdout.strip() == hosts.address(DATABASE)
    finally:
        server.stop("immediate")
