"""`continuum cluster status` on a screen: what it says fits, whatever the cluster has become."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest
from rich.console import Console

from continuum.cluster.load import About, EngineLoad, NodeLoad, WorkerLoad
from continuum.cluster.status import MemberStatus, NodeStatus, ProcessStatus
from continuum.ports.overview import Overview, OwnerView, QueueView, StuckRun
from continuum_cli.cluster.screen import Picture
from continuum_cli.cluster.view import View

AT = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
RUN = UUID(int=7)


def member(name: str, status: str = "alive") -> MemberStatus:
    about = About("1.0", ("default", "gpu"), ("shop.checkout",), 12, AT.timestamp() - 3 * 86_400)
    load = NodeLoad(12_000, 8_000, 7_500, 431.0, 23.4, 200, 180)
    return MemberStatus(name, f"10.0.0.1:{7433}", status, 3, f"boot{name}", 75.0, 0.0021, load, about, [])


def node(name: str, members: list[MemberStatus]) -> NodeStatus:
    processes = [
        ProcessStatus("worker-1", "worker", 12, "b-7", 3, "running"),
        ProcessStatus("supervisor", "supervisor", 10, "", 0, "running"),
        ProcessStatus("engine-1", "engine", 11, "b-3", 0, "starting"),
    ]
    engines = {"engine-1": EngineLoad(12_000, 8_000, 7_500, 431.0, 23.4)}
    workers = {
        "worker-1": WorkerLoad(("default", "gpu"), 200, 180, ("shop.flows.pack blocks its event loop",))
    }
    return NodeStatus(
        name,
        "default",
        f"boot{name}",
        "realm",
        "10.0.0.1:7433",
        True,
        members,
        processes,
        engines,
        workers,
        {},
    )


def overview(**parts: object) -> Overview:
    nothing = {
        "owners": [],
        "queues": [],
        "due": 0,
        "oldest_s": None,
        "sleeping": 0,
        "stuck": [],
        "stuck_count": 0,
    }
    return Overview(**nothing | parts)  # type: ignore[arg-type]


def owner(name: str, runs: int = 0, expires_in_s: float = 20.0) -> OwnerView:
    return OwnerView(f"{name}/default/engine-1/boot{name}-2", name, "", expires_in_s, runs, 0)


@pytest.fixture
def troubled() -> View:
    members = [member("alpha"), member("beta", "dead"), member("gamma")]
    return View(
        AT,
        "default",
        "alpha",
        members,
        {"alpha": node("alpha", members)},
        overview=overview(
            owners=[owner("alpha", 8000), owner("beta", 41)],
            queues=[QueueView("gpu", 9, 5, 2, 12.0), QueueView("tape", 3, 3, 0, 99.0)],
            due=4,
            oldest_s=31.0,
            sleeping=1200,
            stuck=[StuckRun(RUN, "shop.checkout", "its code has changed", 60.0)],
        ),
    )


def drawn(view: View, columns: int) -> list[str]:
    console = Console(file=io.StringIO(), width=columns, color_system=None)
    with console.capture() as captured:
        console.print(Picture(view))
    return [line.rstrip() for line in captured.get().splitlines()]


@pytest.mark.parametrize("columns", [80, 200])
def test_a_cluster_in_trouble_fits_the_screen_and_says_all_of_it(troubled: View, columns: int) -> None:
    lines = drawn(troubled, columns)
    assert max(map(len, lines)) <= columns
    text = "\n".join(lines)
    assert "2 of 3 hosts alive" in text
    (beta,) = [line for line in lines if line.startswith("beta ") and "dead" in line]
    assert beta.split()[:4] == ["beta", "dead", "75s", "2.1ms"], "for how long it has been gone"
    (alpha,) = [line for line in lines if line.startswith("alpha ") and "alive" in line]
    assert alpha.split()[:9] == ["alpha", "alive", "3d", "2.1ms", "8,000", "7,500", "431", "23.4", "180/200"]
    assert "supervisor  engine-1 starting  worker-1 ↻3" in text, (
        "the order of the tree, and what is wrong in it"
    )
    assert ("10.0.0.1:7433" in text) == (columns == 200)
    assert "4 due, the oldest for 31s; 1,200 wait for a time" in text


def test_what_is_stuck_is_said_in_words(troubled: View) -> None:
    assert troubled.findings() == [
        "host beta is dead, for 75s",
        "host gamma is alive, and did not answer",
        "alpha: engine-1 is starting",
        "alpha: worker-1: shop.flows.pack blocks its event loop",
        "owner beta/default/engine-1/bootbeta-2 has no host: 41 runs, 0 tasks",
        "queue tape has work and no worker",
        "4 runs are due and nobody takes them, the oldest for 31s",
        f"run {RUN} (shop.checkout) waits for you: its code has changed",
    ]


def test_all_runs_that_wait_for_a_person_are_counted() -> None:
    stuck = [StuckRun(UUID(int=n), "shop.checkout", "its code has changed", None) for n in range(20)]
    view = View(AT, "default", overview=overview(stuck=stuck, stuck_count=304))
    assert view.findings()[0] == "304 runs wait for you; the first 20 of them:"
    assert len(view.findings()) == 21
    assert any("304 runs wait for you" in line for line in drawn(view, 80))
    all_of_them = View(AT, "default", overview=overview(stuck=stuck, stuck_count=20))
    assert len(all_of_them.findings()) == 20


@pytest.mark.parametrize("ahead_s", [-3600.0, 3600.0])
def test_the_clocks_of_hosts_say_nothing_of_how_long_a_node_has_been_running(ahead_s: float) -> None:
    """A node measures it by itself; of one that does not answer it is known for how long others have seen it."""
    about = About("1.0", ("default",), (), 0, AT.timestamp() + ahead_s)
    members = [
        msgspec.structs.replace(member(name), about=about, since_s=7000.0) for name in ("alpha", "gamma")
    ]
    answers = msgspec.structs.replace(node("alpha", members), up_s=300.0)
    view = View(AT, "default", "alpha", members, {"alpha": answers}, overview=overview())
    alpha, gamma = [
        line.split() for line in drawn(view, 200) if line.startswith(("alpha  alive", "gamma  alive"))
    ]
    assert alpha[2] == "5m"
    assert gamma[2] == "116m"


def test_without_a_group_the_database_is_shown_as_what_it_is(troubled: View) -> None:
    view = View(AT, "default", group_error="nobody answers", overview=overview(owners=[owner("beta", 41)]))
    text = "\n".join(drawn(view, 80))
    assert "The group cannot be asked: nobody answers. This is what the database knows." in text
    assert "HOSTS" not in text
    assert "beta  engine-1  41" in text
    assert "Nothing is stuck." in text


def test_when_nobody_is_alive_nothing_is_called_well() -> None:
    view = View(AT, "default", group_error="nobody answers", overview=overview(owners=[owner("a", 1, -3.0)]))
    assert view.findings()[0] == "no node is running: nothing goes on"
    assert "3s ago" in "\n".join(drawn(view, 80))


def test_without_a_database_the_group_is_shown() -> None:
    members = [member("alpha")]
    view = View(AT, "default", "alpha", members, {"alpha": node("alpha", members)}, database_error="no route")
    text = "\n".join(drawn(view, 80))
    assert "The database cannot be asked: no route" in text
    assert "1 of 1 hosts alive" in text
    assert "RUNS WITHOUT AN OWNER" not in text


def test_names_cannot_steer_the_terminal() -> None:
    members = [member("al\x1b[31mpha")]
    view = View(AT, "default", "x", members, {}, overview=overview())
    assert "\x1b" not in "\n".join(drawn(view, 80))
