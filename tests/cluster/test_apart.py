"""Nodes on hosts of their own that are cut apart, frozen, switched off and restarted: nothing is lost or doubled.

Hosts are network namespaces (`tests.cluster.hosts`), so a cut is silent. Where the machine has none, what needs no cut
runs on addresses of the loopback interface, and the rest is skipped.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from continuum import Client, RunHandle
from continuum.config import KEY_VARIABLE
from continuum.embedded import EmbeddedPostgres
from continuum.node import NodeConfig
from continuum.postgres import migrate
from continuum.wire.curve import ClusterKey, generate_key
from tests.cluster import journeys
from tests.cluster.hosts import DATABASE, SETTINGS, Hosts, Network, hosts_of
from tests.cluster.journeys import check_payments, check_runs, go, journey, read_ledger
from tests.cluster.node_flows import chain
from tests.cluster.nodes import Cluster, ForegroundNode, wait_until
from tests.conftest import new_folder
from tests.integration.servers import free_port

NAMES = ("a", "b", "c", "d", "e")
PORT = 7433
MODULES = ("tests.cluster.node_flows", "tests.cluster.journeys")
RUNS, LEGS = 30, 4
LIMIT_S = 90.0

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    folder = new_folder()
    server = EmbeddedPostgres(folder / "postgres", port=free_port(), settings=SETTINGS)
    try:
        with hosts_of(NAMES, server) as hosts:
            yield hosts
    finally:
        server.stop("immediate")
        shutil.rmtree(folder)


class Field:
    """One instance on these hosts: its nodes by host, their groups, and a client beside the database."""

    def __init__(self, hosts: Hosts, schema: str, key: str, folder: Path, stack: ExitStack) -> None:
        self.hosts, self.folder, self._stack = hosts, folder, stack
        self._instance, self._key = schema.removeprefix("continuum_"), key
        self.nodes: dict[str, ForegroundNode] = {}
        self.cluster = Cluster(hosts.database_url, schema, ClusterKey.parse(key, "the test"))
        stack.callback(self.cluster.close)
        self.client = stack.enter_context(Client(hosts.database_url, instance=self._instance))
        self._database = stack.enter_context(psycopg.connect(hosts.database_url, autocommit=True))
        self._database.execute(sql.SQL("set search_path = {}").format(sql.Identifier(schema)))

    @property
    def network(self) -> Network:
        """The hosts, for a test that cuts them apart."""
        if not isinstance(self.hosts, Network):
            pytest.skip(self.hosts.cuts)
        return self.hosts

    def start(self, name: str, **settings: object) -> ForegroundNode:
        """Start a node on the host of this name; it is killed at the end."""
        values = {
            "workers": 1,
            "drain_s": 5.0,
            "bind": f"tcp://{self.hosts.address(name)}:{PORT}",
            **settings,
        }
        config = NodeConfig(
            modules=MODULES,
            database=self.hosts.database_url,
            instance=self._instance,
            name=name,
            **values,  # type: ignore[arg-type]
        )
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        node = ForegroundNode(config, folder, {KEY_VARIABLE: self._key}, self.hosts.command(name))
        self.nodes[name] = node
        self._stack.callback(node.process.wait)
        self._stack.callback(node.process.kill)
        return node

    def start_all(self, *names: str, **settings: object) -> None:
        for name in names:
            self.start(name, **settings)
        for name in names:
            self.nodes[name].wait_ready()
            self.cluster.wait_sees(name, {other: "alive" for other in names if other != name})

    def sees(self, name: str, other: str) -> str:
        return self.cluster.sees(name).get(other, "")

    def ask(self, query: str, *parameters: object) -> list[tuple[object, ...]]:
        return self._database.execute(query.encode(), parameters).fetchall()

    def locks(self, name: str) -> list[tuple[object, ...]]:
        """What sessions of this host have locked, and what the server knows of these sessions. One that was logging in
        when the host was cut off has nothing but its own number, for a minute until the server's time-out."""
        return self.ask(
            "select application_name, state, wait_event, state_change, left(query, 80), locktype, mode"
            " from pg_stat_activity join pg_locks using (pid)"
            " where client_addr = %s::inet and locktype <> 'virtualxid'",
            self.network.address(name),
        )

    def owned_by(self, name: str) -> int:
        query = "select count(*) from continuum_runs where split_part(lease_owner, '/', 1) = %s"
        return int(str(self.ask(query, name)[0][0]))

    def engines(self, name: str) -> list[str]:
        """The engines of a node that live, by the database."""
        query = "select owner from continuum_owners where node = %s and owner like %s and expires_at > now()"
        return [str(owner) for (owner,) in self.ask(query, name, "%/engine-%")]

    def postpone_expiry(self, name: str) -> None:
        """Let no owner of this node expire by itself."""
        self.ask(
            "update continuum_owners set expires_at = now() + interval '1 hour'"
            " where node = %s and expires_at > now() returning 1",
            name,
        )

    def journeys(self, name: str) -> list[RunHandle[list[object]]]:
        """Start journeys until this node owns enough of them."""
        runs: list[RunHandle[list[object]]] = []
        while len(runs) < RUNS or self.owned_by(name) < 5:
            runs.append(self.client.start(journey(len(runs), LEGS)))
        return runs

    def finish(self, runs: list[RunHandle[list[object]]]) -> dict[UUID, list[object]]:
        for run in runs:
            run.signal(go, 7, id="go")
        return {run.id: run.result(timeout=LIMIT_S) for run in runs}

    def check(self, runs: list[RunHandle[list[object]]], ledger: Path) -> None:
        results = self.finish(runs)
        check_runs(results, [run.history() for run in runs], read_ledger(ledger))

    def work(self, seconds: float) -> None:
        """Run chains for so long, one after the other."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            assert self.client.start(chain(3)).result(timeout=LIMIT_S) == 3


@pytest.fixture
def ledger(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = open_folder / "ledger"
    monkeypatch.setenv(journeys.LEDGER_VARIABLE, str(path))
    return path


@pytest.fixture
def field(hosts: Hosts, open_folder: Path, ledger: Path) -> Iterator[Field]:
    schema = f"continuum_h{os.urandom(6).hex()}"
    migrate(hosts.database_url, schema)
    with ExitStack() as stack:
        if isinstance(hosts, Network):
            stack.callback(hosts.heal)
        yield Field(hosts, schema, generate_key(), open_folder, stack)
    with psycopg.connect(hosts.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("drop schema {} cascade").format(sql.Identifier(schema)))


@pytest.mark.rule("L4", "M1")
def test_a_host_that_is_switched_off_is_given_up_and_its_runs_go_on_elsewhere(
    field: Field, ledger: Path
) -> None:
    network = field.network
    field.start_all("a", "b", "c")
    runs = field.journeys("a")
    network.cut_off("a")  # its connections stay open at the other end: the server still has its locks
    for pid in field.nodes["a"].pids():
        os.kill(pid, signal.SIGKILL)
    field.postpone_expiry("a")
    wait_until(lambda: {field.sees("b", "a"), field.sees("c", "a")} == {"dead"}, "a is known to be dead")
    wait_until(lambda: field.owned_by("a") == 0, "nothing is a's any more")
    wait_until(lambda: not field.locks("a"), "nothing is locked by a any more", lambda: str(field.locks("a")))
    field.check(runs, ledger)


@pytest.mark.rule("M2", "M4", "L4")
def test_hosts_that_lose_each_other_and_not_the_database_go_on_and_find_together_again(
    field: Field, ledger: Path
) -> None:
    network = field.network
    field.start_all("a", "b", "c")
    engines = {name: field.engines(name) for name in ("a", "b", "c")}
    runs = field.journeys("a")
    network.cut("a")
    wait_until(
        lambda: field.sees("b", "a") == field.sees("a", "b") == "dead", "they have given each other up"
    )
    field.check(runs, ledger)
    check_payments(read_ledger(ledger), len(runs) * LEGS)
    assert {name: field.engines(name) for name in engines} == engines, "nobody who lives was taken for dead"
    network.heal()
    for name in ("a", "b", "c"):
        field.cluster.wait_sees(name, {other: "alive" for other in ("a", "b", "c") if other != name})


@pytest.mark.long
@pytest.mark.rule("B1")
def test_dispatchers_that_hear_of_a_run_at_once_give_it_to_one_engine(field: Field, ledger: Path) -> None:
    field.start_all("a", "b")
    runs = [field.client.start(journey(number, LEGS)) for number in range(2 * RUNS)]
    field.check(runs, ledger)
    check_payments(read_ledger(ledger), len(runs) * LEGS)
    took = field.ask("select distinct split_part(previous_owner, '/', 1) from continuum_runs order by 1")
    assert took == [("a",), ("b",)], "both of them took runs"


@pytest.mark.long
@pytest.mark.rule("M1", "M2")
def test_a_host_that_cannot_be_heard_by_one_other_is_not_given_up(field: Field) -> None:
    network = field.network
    field.start_all("a", "b", "c")
    network.cut_way("a", "b")
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        field.work(1.0)
        seen = {(name, other): field.sees(name, other) for name in "abc" for other in "abc" if name != other}
        assert "dead" not in seen.values(), seen


@pytest.mark.long
@pytest.mark.rule("M1")
def test_when_all_seeds_are_gone_the_others_stay_together_and_take_in_who_comes(field: Field) -> None:
    seed = f"{field.hosts.address('a')}:{PORT}"
    field.start_all("a")
    for name in ("b", "c"):
        field.start(name, join=(seed,)).wait_ready()
    field.cluster.wait_sees("c", {"a": "alive", "b": "alive"})
    for pid in field.nodes["a"].pids():
        os.kill(pid, signal.SIGKILL)
    field.cluster.wait_sees("b", {"a": "dead", "c": "alive"})
    field.start("d", join=(seed,)).wait_ready()
    wait_until(lambda: field.sees("d", "b") == field.sees("c", "d") == "alive", "d has joined")
    field.work(1.0)


@pytest.mark.long
@pytest.mark.rule("L7", "O5", "M2")
def test_five_hosts_are_restarted_one_by_one_under_load_and_no_run_fails_or_waits(field: Field) -> None:
    field.start_all(*NAMES)
    over = threading.Event()
    took: list[float] = []
    wrong: list[object] = []

    def load() -> None:
        while not over.is_set():
            began = time.monotonic()
            try:
                if (result := field.client.start(chain(5)).result(timeout=LIMIT_S)) != 5:
                    wrong.append(result)
            except Exception as error:  # noqa: BLE001 - whatever it is, the test is to show it
                wrong.append(error)
            took.append(time.monotonic() - began)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for name in NAMES:
            field.nodes[name].process.send_signal(signal.SIGTERM)
            assert field.nodes[name].end() == 0
            field.start(name).wait_ready()
            others = {other: "alive" for other in NAMES if other != name}
            field.cluster.wait_sees(name, others)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not wrong
    assert len(took) > 100
    drain_s = 5.0
    assert max(took) < 2 * drain_s, "a run waited for longer than a drain"


@pytest.mark.long
@pytest.mark.rule("L1", "L4", "L6", "A8")
def test_a_host_that_is_frozen_for_a_minute_changes_nothing_when_it_wakes(field: Field, ledger: Path) -> None:
    field.start_all("a", "b", "c")
    runs = field.journeys("a")
    pids = field.nodes["a"].pids()
    began = time.monotonic()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: field.owned_by("a") == 0, "its runs were taken over")
        field.work(60 - (time.monotonic() - began))
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)
    wait_until(lambda: field.sees("b", "a") == "alive", "it is one of them again")
    field.check(runs, ledger)
    field.work(1.0)


@pytest.mark.long
@pytest.mark.rule("L1", "L2", "R6", "O4")
def test_a_host_that_loses_the_database_and_not_the_group_hands_over_what_it_had(
    field: Field, ledger: Path
) -> None:
    network = field.network
    field.start_all("a", "b")
    runs = field.journeys("a")
    network.cut("a", from_=[DATABASE])
    wait_until(lambda: field.owned_by("a") == 0, "its runs were taken over")
    results = field.finish(runs)
    network.heal()
    wait_until(lambda: field.engines("a"), "a is back")
    check_runs(results, [run.history() for run in runs], read_ledger(ledger))
    field.nodes["b"].process.send_signal(signal.SIGTERM)
    assert field.nodes["b"].end() == 0
    field.work(1.0)
