"""A node as real processes: it starts, works, survives its own deaths, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg import sql

from continuum import Client
from continuum.config import schema_of
from continuum.embedded import EmbeddedPostgres
from continuum.errors import NodeError
from continuum.node import Node
from continuum.postgres import migrate
from tests.cluster.node_flows import (
    alone,
    chain,
    fails_once,
    hangs_alone,
    hangs_once,
    occupies,
    stuck,
    wait_then_chain,
)
from tests.cluster.nodes import (
    FLOWS,
    LIMIT_S,
    alive,
    config_of,
    embedding_program,
    foreground_node,
    wait_pid,
    wait_until,
)

pytestmark = pytest.mark.cluster

SLOW_APP = """
import os, threading
open("importing", "w").write(str(os.getpid()))
threading.Event().wait()
"""
ROLES = Counter(supervisor=1, group=1, router=1, timer=1, dispatcher=1, engine=1, worker=2)


@pytest.fixture
def other_instance(database_url: str, instance: str) -> Iterator[str]:
    """A second one, in the same database."""
    name = f"{instance}_b"
    migrate(database_url, schema_of(name))
    yield name
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema_of(name))))


@pytest.fixture
def node(database_url: str, instance: str) -> Iterator[Node]:
    with Node(FLOWS, database=database_url, instance=instance, drain_s=5.0) as node:
        yield node


def test_a_node_runs_workflows_in_the_processes_that_it_lists(node: Node, client: Client) -> None:
    node.wait_ready(LIMIT_S)
    processes = node.processes()
    assert Counter(process.role for process in processes) == ROLES
    assert alive([process.pid for process in processes]) == [process.pid for process in processes]
    runs = client.start_many([chain(10) for _ in range(20)])
    assert [run.result(timeout=LIMIT_S) for run in runs] == [10] * 20
    assert client.get_run(runs[0].id).workflow == f"{FLOWS}.chain"


@pytest.mark.rule("B3")
@pytest.mark.parametrize("role", ["engine", "worker", "dispatcher", "timer", "router"])
def test_a_killed_process_is_replaced_and_its_runs_end_right(node: Node, client: Client, role: str) -> None:
    node.wait_ready(LIMIT_S)
    runs = client.start_many([wait_then_chain(20) for _ in range(20)])
    wait_until(
        lambda: all(any(e.type == "signal_awaited" for e in client.history(run.id)) for run in runs),
        "all runs wait",
    )
    killed = {process.pid for process in node.processes() if process.role == role}
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    for run in runs:
        client.signal(run.id, "go")
    assert [run.result(timeout=LIMIT_S) for run in runs] == [20] * 20
    node.wait_ready(LIMIT_S)
    replaced = {process.pid for process in node.processes() if process.role == role}
    assert len(replaced) == len(killed)
    assert not replaced & killed


@pytest.mark.rule("A9", "A4")
def test_an_isolated_activity_dies_with_its_worker_and_another_worker_tries_again(
    node: Node, client: Client, open_folder: Path
) -> None:
    node.wait_ready(LIMIT_S)
    workers = {process.pid for process in node.processes() if process.role == "worker"}
    own, keeper = client.start(alone()).result(timeout=LIMIT_S)
    assert not {own, keeper} & workers
    run = client.start(hangs_alone(str(open_folder / "hanging")))
    hanging = wait_pid(open_folder / "hanging")
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive([hanging]), "it died with its worker")
    assert run.result(timeout=LIMIT_S) >= 2, "the second attempt may have met the other dying worker"


def test_the_database_sees_which_process_a_session_belongs_to(node: Node, database_url: str) -> None:
    node.wait_ready(LIMIT_S)
    roles = ("group", "router", "timer", "dispatcher", "engine-1")

    def named() -> set[str]:
        with psycopg.connect(database_url) as connection:
            asked = "select application_name from pg_stat_activity where datname = current_database()"
            return {name for (name,) in connection.execute(asked)}

    wait_until(lambda: {f"continuum-{role}" for role in roles} <= named(), "each has a session of its name")


@pytest.mark.rule("I1")
def test_two_instances_in_one_program_do_not_see_each_other(
    node: Node, client: Client, database_url: str, other_instance: str
) -> None:
    with (
        Node(FLOWS, database=database_url, instance=other_instance, workers=1) as other,
        Client(database_url, instance=other_instance) as other_client,
    ):
        run, foreign = client.start(chain(2), id="same"), other_client.start(chain(4), id="same")
        assert (run.result(timeout=LIMIT_S), foreign.result(timeout=LIMIT_S)) == (2, 4)
        pids = [process.pid for process in other.processes()]
    assert alive(pids) == []
    assert Counter(process.role for process in node.processes()) == ROLES


@pytest.mark.rule("O5", "A11")
def test_what_a_drain_cuts_short_is_done_by_the_next_node_and_does_not_count(
    database_url: str, instance: str, client: Client, open_folder: Path
) -> None:
    config = config_of(database_url, instance, drain_s=0.5)
    with foreground_node(config, open_folder) as node:
        run = client.start(hangs_once(str(open_folder / "hanging")))
        wait_pid(open_folder / "hanging")
        node.process.send_signal(signal.SIGTERM)
        assert node.end() == 0
        assert "attempt 1: stopped by the drain of node n1 after 0.5 s; it does not count" in node.log
    with Node(FLOWS, database=database_url, instance=instance, drain=0.5):
        assert run.result(timeout=LIMIT_S) == [2, ("half",)]
    (retried,) = [event for event in client.history(run.id) if event.type == "activity_retried"]
    assert "stopped by the drain of node n1 after 0.5 s" in str(retried.data)


@pytest.mark.rule("A16", "A5")
def test_of_a_killed_nodes_attempts_only_what_had_begun_is_lost(
    database_url: str, instance: str, client: Client, open_folder: Path
) -> None:
    """A back-off, and attempts that waited for a slot, outlive `kill -9` of all processes of the node."""
    config = config_of(database_url, instance, slots=2)
    begun, gate = open_folder / "begun", open_folder / "gate"
    with foreground_node(config, open_folder) as node:
        failing = client.start(fails_once(str(open_folder / "failed")))
        wait_pid(open_folder / "failed")
        runs = {mark: client.start(occupies(str(begun), str(gate), mark)) for mark in "abcdef"}
        wait_until(lambda: begun.exists() and len(begun.read_text().split()) == 2, "two have begun")
        wait_until(
            lambda: all(
                any(e.type == "activity_scheduled" for e in client.history(r.id)) for r in runs.values()
            ),
            "all are scheduled",
        )
        pids = node.pids()
        node.process.kill()
        wait_until(lambda: not alive(pids[1:]), "all are dead")
    first = begun.read_text().split()
    gate.touch()
    with foreground_node(config, open_folder):
        results = {mark: run.result(timeout=LIMIT_S) for mark, run in runs.items()}
        assert failing.result(timeout=LIMIT_S) == 2
    assert results == {mark: "attempts_exhausted" if mark in first else mark for mark in runs}
    assert sorted(begun.read_text().split()) == list("abcdef")


def test_a_node_that_was_stopped_is_gone_and_can_be_started_again(node: Node, client: Client) -> None:
    node.wait_ready(LIMIT_S)
    pids = [process.pid for process in node.processes()]
    node.stop()
    assert alive(pids) == []
    assert node.processes() == []
    with pytest.raises(NodeError, match="was not started"):
        node.wait_ready(1.0)
    node.start()
    assert client.start(chain(3)).result(timeout=LIMIT_S) == 3


def test_an_immediate_stop_leaves_no_process(node: Node) -> None:
    node.wait_ready(LIMIT_S)
    pids = [process.pid for process in node.processes()]
    node.stop(graceful=False)
    wait_until(lambda: not alive(pids), "all processes are gone")


@pytest.mark.rule("L7", "O5")
def test_sigterm_gives_every_lease_back_and_ends_with_0(
    database_url: str, instance: str, client: Client, open_folder: Path
) -> None:
    with foreground_node(config_of(database_url, instance), open_folder) as node:
        node.wait_ready()
        run = client.start(wait_then_chain(3))
        wait_until(lambda: client.get_run(run.id).owner is not None, "the run is leased")
        node.process.send_signal(signal.SIGTERM)
        assert node.end() == 0
        assert client.get_run(run.id).owner is None
    with Node(FLOWS, database=database_url, instance=instance):
        client.signal(run.id, "go")
        assert run.result(timeout=LIMIT_S) == 3


@pytest.mark.rule("O5")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_a_node_at_once(
    number: signal.Signals, database_url: str, instance: str, client: Client, open_folder: Path
) -> None:
    config = config_of(database_url, instance, drain_s=3600.0)
    with foreground_node(config, open_folder) as node:
        node.wait_ready()
        marker = open_folder / "hanging"
        client.start(stuck(str(marker)))
        hanging = wait_pid(marker)
        node.process.send_signal(number)
        node.wait_log("stopping child='worker-1'")
        node.process.send_signal(number)
        assert node.end() == 1
        assert not alive([hanging])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_application_is_imported_ends_with_0_and_leaves_nothing(
    number: signal.Signals, database_url: str, instance: str, open_folder: Path
) -> None:
    (open_folder / "slow_app.py").write_text(SLOW_APP)
    config = config_of(database_url, instance, modules=("slow_app",))
    with foreground_node(config, open_folder) as node:
        importing = wait_pid(open_folder / "importing")
        node.process.send_signal(number)
        assert node.end() == 0
        assert not alive([importing])


def test_a_program_that_is_killed_while_its_application_is_imported_leaves_nothing(
    database_url: str, instance: str, open_folder: Path
) -> None:
    (open_folder / "slow_app.py").write_text(SLOW_APP)
    config = config_of(database_url, instance, modules=("slow_app",))
    with embedding_program(open_folder, **asdict(config)) as program:
        importing = wait_pid(open_folder / "importing")
        node = psutil.Process(importing).parent()
        assert node is not None
        program.kill()
        program.communicate()
    wait_until(lambda: not alive([importing, node.pid]), "both are gone")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "moment", ["started child='router'", "started child='engine-1'", "ready child='worker-1'"]
)
def test_a_signal_while_the_tree_starts_ends_with_0(
    number: signal.Signals, moment: str, database_url: str, instance: str, open_folder: Path
) -> None:
    with foreground_node(config_of(database_url, instance), open_folder) as node:
        node.wait_log(moment)
        node.process.send_signal(number)
        assert node.end() == 0


def test_the_tree_goes_with_a_program_that_is_killed(
    database_url: str, instance: str, open_folder: Path
) -> None:
    config = config_of(database_url, instance)
    with embedding_program(open_folder, **asdict(config)) as program:
        assert program.stdout is not None
        pids: list[int] = json.loads(program.stdout.readline())
        assert alive(pids) == pids
        program.kill()
        program.communicate()
    wait_until(lambda: not alive(pids), "all processes are gone")


@pytest.mark.rule("O4")
def test_a_node_starts_its_embedded_database_again_and_no_run_fails(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(open_folder)
    server = EmbeddedPostgres(open_folder / ".continuum")
    with Node(FLOWS, drain_s=5.0) as node, Client() as client:
        runs = client.start_many([chain(20) for _ in range(200)])
        wait_until(lambda: any(client.history(runs[0].id)), "the runs are under way")
        assert server.postmaster_pid is not None
        os.kill(server.postmaster_pid, signal.SIGKILL)
        assert [run.result(timeout=LIMIT_S) for run in runs] == [20] * 200
        assert Counter(process.role for process in node.processes()) == ROLES
    server.stop("immediate")
