"""Several nodes on one machine, as processes: they find each other, carry wakes and results, and need none of it."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg import sql

from continuum import Client
from continuum.config import KEY_VARIABLE
from continuum.node import Node, NodeConfig
from continuum.wire.curve import ClusterKey, generate_key
from tests.cluster.node_flows import chain, family, hangs_until_told, stuck, wait_then_chain
from tests.cluster.nodes import (
    FLOWS,
    LIMIT_S,
    Cluster,
    ForegroundNode,
    foreground_node,
    wait_pid,
    wait_until,
)

pytestmark = pytest.mark.cluster


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    """A cluster key that this program and the nodes below it have."""
    text = generate_key()
    monkeypatch.setenv(KEY_VARIABLE, text)
    return text


@contextmanager
def cluster_of(database_url: str, schema: str, key: str | None = None) -> Iterator[Cluster]:
    cluster = Cluster(database_url, schema, None if key is None else ClusterKey.parse(key, "the test"))
    try:
        yield cluster
    finally:
        cluster.close()


class Scene:
    """Nodes of one instance, each with its settings, started one after the other."""

    def __init__(self, stack: ExitStack, database_url: str, instance: str, key: str | None = None) -> None:
        self._stack, self._url, self._instance = stack, database_url, instance
        self.cluster = stack.enter_context(cluster_of(database_url, f"continuum_{instance}", key))

    def node(self, name: str, **settings: object) -> Node:
        values = {"workers": 1, "drain_s": 5.0, **settings}
        node = Node(FLOWS, database=self._url, instance=self._instance, name=name, **values)  # type: ignore[arg-type]
        self._stack.enter_context(node)
        node.wait_ready(LIMIT_S)
        return node


@pytest.fixture
def open_scene(database_url: str, instance: str) -> Iterator[Scene]:
    """Without a cluster key."""
    with ExitStack() as stack:
        yield Scene(stack, database_url, instance)


@pytest.fixture
def scene(database_url: str, instance: str, key: str) -> Iterator[Scene]:
    """With a cluster key."""
    with ExitStack() as stack:
        yield Scene(stack, database_url, instance, key)


def free_port(host: str) -> int:
    with socket.create_server((host, 0)) as server:
        port: int = server.getsockname()[1]
        return port


def group_pid(node: Node) -> int:
    (pid,) = [process.pid for process in node.processes() if process.role == "group"]
    return pid


@pytest.mark.rule("M1")
def test_nodes_without_a_key_find_each_other_on_this_machine_by_the_database(open_scene: Scene) -> None:
    for name in ("a", "b", "c"):
        open_scene.node(name)
    for name in ("a", "b", "c"):
        open_scene.cluster.wait_sees(name, {other: "alive" for other in "abc" if other != name})
    assert all(address.startswith("127.0.0.1:") for address in open_scene.cluster.addresses().values())


@pytest.mark.rule("M1", "M3")
def test_nodes_find_each_other_by_one_seed_where_the_database_names_nobody(
    scene: Scene, database_url: str, fresh_schema: str
) -> None:
    ports = {host: free_port(host) for host in ("127.0.0.2", "127.0.0.3")}
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL(
                "create function {0}.hide() returns trigger language plpgsql as "
                "$$ begin new.address := ''; return new; end $$;"
                "create trigger hide before insert or update on {0}.continuum_owners "
                "for each row execute function {0}.hide()"
            ).format(sql.Identifier(fresh_schema))
        )
    a = f"127.0.0.2:{ports['127.0.0.2']}"
    scene.node("a", bind=f"tcp://{a}")
    scene.node("b", bind=f"tcp://127.0.0.3:{ports['127.0.0.3']}", join=[a])
    assert scene.cluster.addresses() == {}
    scene.cluster.addresses = lambda: {"a": a}  # type: ignore[method-assign]
    scene.cluster.wait_sees("a", {"b": "alive"})
    status = scene.cluster.status("a")
    assert status is not None and status.secure
    assert {process.role for process in status.processes} >= {"supervisor", "group", "engine", "worker"}


@pytest.mark.rule("M1")
def test_a_killed_node_is_given_up_by_the_others_and_one_that_stops_leaves(open_scene: Scene) -> None:
    nodes = {name: open_scene.node(name) for name in ("a", "b", "c")}
    open_scene.cluster.wait_sees("a", {"b": "alive", "c": "alive"})
    nodes["b"].stop(graceful=False)
    open_scene.cluster.wait_sees("a", {"b": "dead", "c": "alive"})
    nodes["c"].stop()
    open_scene.cluster.wait_sees("a", {"b": "dead", "c": "left"})


@pytest.mark.rule("A12", "A8")
def test_results_of_a_node_that_only_has_workers_come_to_the_engine_by_message(
    scene: Scene, client: Client
) -> None:
    scene.node("engines", workers=0)
    scene.node("workers", engines=0)
    scene.cluster.wait_sees("workers", {"engines": "alive"})

    def taken() -> int:
        client.start(chain(1)).result(timeout=LIMIT_S)
        return scene.cluster.count("engines", "results_taken")

    wait_until(taken, "the dispatcher beside the workers has been told of the other node")
    before = scene.cluster.count("engines", "results_taken")
    runs = client.start_many([chain(5) for _ in range(10)])
    assert [run.result(timeout=LIMIT_S) for run in runs] == [5] * 10
    assert scene.cluster.count("engines", "results_taken") - before == 50
    assert scene.cluster.count("workers", "results_sent") >= 50


@pytest.mark.rule("M4", "M2")
def test_without_a_key_results_go_through_the_database(open_scene: Scene, client: Client) -> None:
    open_scene.node("engines", workers=0)
    open_scene.node("workers", engines=0)
    open_scene.cluster.wait_sees("workers", {"engines": "alive"})
    assert client.start(chain(5)).result(timeout=LIMIT_S) == 5
    assert open_scene.cluster.count("workers", "results_sent") == 0


@pytest.mark.rule("M2", "L4")
def test_a_group_process_that_is_killed_comes_back_while_the_runs_go_on(scene: Scene, client: Client) -> None:
    engines = scene.node("engines", workers=0)
    workers = scene.node("workers", engines=0)
    scene.cluster.wait_sees("workers", {"engines": "alive"})
    runs = client.start_many([chain(30) for _ in range(10)])
    killed = [group_pid(node) for node in (engines, workers)]
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    assert [run.result(timeout=LIMIT_S) for run in runs] == [30] * 10
    for node in (engines, workers):
        node.wait_ready(LIMIT_S)
    assert not set(killed) & {group_pid(node) for node in (engines, workers)}
    for name, other in (("engines", "workers"), ("workers", "engines")):
        scene.cluster.wait_sees(name, {other: "alive"})
    assert client.start(chain(3)).result(timeout=LIMIT_S) == 3


@pytest.mark.long
@pytest.mark.rule("M2", "A8")
def test_groups_that_hang_cost_time_and_nothing_else(scene: Scene, client: Client) -> None:
    engines = scene.node("engines", workers=0)
    workers = scene.node("workers", engines=0)
    scene.cluster.wait_sees("workers", {"engines": "alive"})
    assert client.start(chain(2)).result(timeout=LIMIT_S) == 2
    stopped = [group_pid(engines), group_pid(workers)]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert client.start(chain(4)).result(timeout=LIMIT_S) == 4
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    scene.cluster.wait_sees("workers", {"engines": "alive"})
    assert client.start(chain(2)).result(timeout=LIMIT_S) == 2


@pytest.mark.rule("M2")
def test_nodes_outside_of_the_group_work_through_the_database(open_scene: Scene, client: Client) -> None:
    engines = open_scene.node("engines", workers=0, cluster=False)
    open_scene.node("workers", engines=0, cluster=False)
    assert "group" not in {process.role for process in engines.processes()}
    run = client.start(wait_then_chain(5))
    wait_until(lambda: any(e.type == "signal_awaited" for e in client.history(run.id)), "it waits")
    client.signal(run.id, "go")
    assert run.result(timeout=LIMIT_S) == 5
    assert open_scene.cluster.addresses() == {}


@pytest.mark.rule("M3", "M2")
def test_a_node_with_another_key_is_kept_out_and_says_so_and_its_runs_end_all_the_same(
    scene: Scene, client: Client, database_url: str, instance: str, open_folder: Path
) -> None:
    scene.node("a", workers=0)
    config = NodeConfig((FLOWS,), database=database_url, instance=instance, name="b", engines=0, workers=1)
    stranger_key = generate_key()
    with foreground_node(config, open_folder, {KEY_VARIABLE: stranger_key}) as stranger:
        stranger.wait_ready()
        stranger.wait_log("has another cluster key, or none: give every node of a cluster the same key")
        assert client.start(chain(3)).result(timeout=LIMIT_S) == 3
        assert scene.cluster.sees("a") == {}
        assert stranger_key not in stranger.log


@pytest.mark.rule("M3")
def test_the_key_is_in_no_log_no_list_of_processes_and_no_file_of_the_node(
    database_url: str, instance: str, open_folder: Path, key: str
) -> None:
    config = NodeConfig((FLOWS,), database=database_url, instance=instance, name="a", log_level="debug")
    secret = ClusterKey.parse(key, "it").secret.decode()
    with foreground_node(config, open_folder) as node:
        node.wait_ready()
        tree = psutil.Process(node.process.pid)
        for process in [tree, *tree.children(recursive=True)]:
            assert not any(word in " ".join(process.cmdline()) for word in (key, secret))
        folder = Path(node.log.split("run directory ")[1].split()[0])
        assert json.loads((folder / "processes.json").read_text())["node"] == "a"
        for text in (node.log, (folder / "processes.json").read_text()):
            assert key not in text and secret not in text


def refusal(config: NodeConfig, folder: Path) -> ForegroundNode:
    with foreground_node(config, folder) as node:
        node.end()
        return node


def test_an_address_that_others_reach_needs_a_key(
    database_url: str, instance: str, open_folder: Path
) -> None:
    bind = "tcp://0.0.0.0:7433"
    node = refusal(
        NodeConfig((FLOWS,), database=database_url, instance=instance, name="a", bind=bind), open_folder
    )
    assert node.process.returncode == 2
    assert "continuum cluster keygen" in node.last_line and bind in node.last_line


def test_a_taken_port_is_one_line_and_exit_code_1(
    database_url: str, instance: str, open_folder: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        bind = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        node = refusal(
            NodeConfig((FLOWS,), database=database_url, instance=instance, name="a", bind=bind), open_folder
        )
    assert node.process.returncode == 1
    assert f"cannot listen on {bind}: its port is taken" in node.log
    assert "Traceback" not in node.log
    assert node.log.count("started child='group'") == 1, "starting it again cannot help"


def test_two_nodes_of_one_name_are_one_clear_line(
    scene: Scene, database_url: str, instance: str, open_folder: Path
) -> None:
    scene.node("other")
    config = NodeConfig((FLOWS,), database=database_url, instance=instance, name="twin", workers=1)
    (open_folder / "second").mkdir()
    with foreground_node(config, open_folder) as first:
        first.wait_ready()
        # The same name in one place is refused at once; here each has a project folder, and so a place of its own.
        (open_folder / "second" / ".continuum").mkdir()
        with foreground_node(config, open_folder / "second") as second:
            second.wait_ready()
            first.wait_log("another node named twin runs at ")
            assert "Give each node its own --name" in first.log


@pytest.mark.rule("K3")
@pytest.mark.parametrize("where", ["on the owner's node", "on another node", "on a node that is stopped"])
def test_a_cancel_is_answered_at_once_and_stops_the_activity_wherever_the_owner_is(
    scene: Scene, client: Client, open_folder: Path, where: str
) -> None:
    a = scene.node("a")
    marker, told = open_folder / "running", open_folder / "told"
    run = client.start(hangs_until_told(str(marker), str(told)))
    wait_pid(marker)
    if where == "on another node":
        scene.node("b", engines=0, workers=0)
    stopped = [process.pid for process in a.processes()] if where == "on a node that is stopped" else []
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        client.cancel(run.id, reason="enough")
        assert client.get_run(run.id).state == "cancelled"
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    wait_until(told.exists, "the activity was told to stop")
    assert client.start(chain(2)).result(timeout=LIMIT_S) == 2


@pytest.mark.rule("K3", "A15")
def test_a_cancel_stops_an_activity_that_runs_on_another_node_than_its_run(
    scene: Scene, client: Client, open_folder: Path
) -> None:
    scene.node("engines", workers=0)
    scene.node("workers", engines=0)
    marker, told = open_folder / "running", open_folder / "told"
    run = client.start(hangs_until_told(str(marker), str(told)))
    wait_pid(marker)
    client.cancel(run.id)
    wait_until(told.exists, "the activity was told to stop")


@pytest.mark.rule("K3")
def test_a_cancel_without_any_owner_is_done_in_the_database(scene: Scene, client: Client) -> None:
    run = client.start(stuck("nowhere"), delay=3600)
    client.cancel(run.id)
    assert client.get_run(run.id).state == "cancelled"


@pytest.mark.rule("M2", "C2")
def test_the_end_of_a_child_on_another_node_wakes_its_parent_by_message(scene: Scene, client: Client) -> None:
    a = scene.node("a", workers=0)
    runs = client.start_many([family(5) for _ in range(4)])
    wait_until(
        lambda: all(any(e.type == "signal_awaited" for e in client.history(run.id)) for run in runs),
        "all wait",
    )
    scene.node("b")
    scene.cluster.wait_sees("b", {"a": "alive"})
    (dispatcher,) = [process.pid for process in a.processes() if process.role == "dispatcher"]
    os.kill(dispatcher, signal.SIGSTOP)  # so that the other node takes the children
    try:
        for run in runs:
            client.signal(run.id, "go")
        assert [run.result(timeout=LIMIT_S) for run in runs] == [5] * 4
    finally:
        os.kill(dispatcher, signal.SIGCONT)
    assert 1 <= scene.cluster.count("a", "wakes_taken") <= 20, "one for a child at most"
