"""What the supervision tree starts, stops, restarts and gives up, in which order, by OTP's rules."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from continuum.errors import ConfigurationError
from continuum.supervisor.directives import Directive, Escalate, Exit, Kill, Start, Stop, Terminate
from continuum.supervisor.intensity import RestartWindow
from continuum.supervisor.spec import ChildSpec, RestartType, Strategy, SupervisorSpec
from continuum.supervisor.strategy import State, SupervisorTree

CRASH = Exit("crash", "killed by SIGKILL")
NORMAL = Exit("normal", "exited with code 0")


def child(name: str, restart: RestartType = "permanent", shutdown_s: float = 5.0) -> ChildSpec:
    return ChildSpec(name, role=name, restart=restart, shutdown_s=shutdown_s)


def flat(strategy: Strategy = "one_for_one", max_restarts: int = 3) -> SupervisorSpec:
    return SupervisorSpec(
        "root", (child("a"), child("b"), child("c")), strategy=strategy, max_restarts=max_restarts
    )


def nested(inner: Strategy = "one_for_one", outer: Strategy = "rest_for_one") -> SupervisorSpec:
    engines = SupervisorSpec("engines", (child("e1"), child("e2")), strategy=inner, max_restarts=1)
    return SupervisorSpec("root", (child("a"), engines, child("z")), strategy=outer)


def running(spec: SupervisorSpec) -> SupervisorTree:
    """The tree of ``spec`` with every child up, at time 0."""
    tree = SupervisorTree(spec)
    pending = tree.start(0.0)
    while pending:
        (directive,) = pending
        assert isinstance(directive, Start)
        pending = tree.on_started(directive.child_id, 0.0)
    return tree


def stops(*child_ids: str) -> list[Directive]:
    return [Stop(child_id, 5.0) for child_id in child_ids]


def test_children_start_left_to_right_each_after_the_ready_of_the_one_before() -> None:
    tree = SupervisorTree(nested())
    assert tree.start(0.0) == [Start("a")]
    assert tree.on_started("a", 0.0) == [Start("e1")]
    assert tree.on_started("e1", 0.0) == [Start("e2")]
    assert tree.on_started("e2", 0.0) == [Start("z")]
    assert tree.on_started("z", 0.0) == []


def test_children_stop_right_to_left_each_after_the_exit_of_the_one_before() -> None:
    tree = running(nested())
    assert tree.stop(1.0, "SIGTERM") == stops("z")
    assert tree.on_exit("z", NORMAL, 1.0) == stops("e2")
    assert tree.on_exit("e2", NORMAL, 1.0) == stops("e1")
    assert tree.on_exit("e1", NORMAL, 1.0) == stops("a")
    assert tree.on_exit("a", NORMAL, 1.0) == [Terminate("SIGTERM", 0)]
    assert tree.kill(1.0) == []


def test_a_child_that_does_not_stop_in_its_time_is_killed_and_the_order_goes_on() -> None:
    tree = running(flat())
    tree.stop(10.0)
    assert tree.deadline == 15.0
    assert tree.on_tick(14.9) == []
    assert tree.on_tick(15.0) == [Kill("c", "still running 5 s after it was asked to stop")]
    assert tree.on_exit("c", CRASH, 15.1) == stops("b")


def test_a_child_is_killed_once_and_then_only_awaited() -> None:
    tree = running(flat())
    tree.stop(10.0)
    tree.on_tick(15.0)
    assert tree.deadline is None
    assert tree.on_tick(99.0) == []


def test_a_child_without_grace_is_killed_at_once() -> None:
    tree = running(SupervisorSpec("root", (child("a", shutdown_s=0),)))
    assert tree.stop(0.0) == [Kill("a", "stopped without grace")]


def test_a_stop_while_a_child_is_starting_kills_that_child_and_drains_the_others() -> None:
    tree = SupervisorTree(flat())
    tree.start(0.0)
    tree.on_started("a", 0.0)
    assert tree.stop(0.0) == [Kill("b", "stopped without grace")]
    assert tree.on_started("b", 0.0) == [], "its ready was already on the way"
    assert tree.on_exit("b", CRASH, 0.0) == stops("a")


def test_a_crash_in_a_tree_that_stops_is_no_failure() -> None:
    tree = running(flat(max_restarts=0))
    assert tree.stop(0.0, "SIGTERM") == stops("c")
    assert tree.on_exit("a", CRASH, 0.0) == []
    assert tree.on_exit("c", NORMAL, 0.0) == stops("b")
    assert tree.on_exit("b", CRASH, 0.0) == [Terminate("SIGTERM", 0)]


def test_a_nested_supervisor_that_gives_up_in_a_tree_that_stops_is_no_failure_of_its_parent() -> None:
    engines = SupervisorSpec("engines", (child("e1"), child("e2")), max_restarts=0)
    tree = running(SupervisorSpec("root", (engines,), max_restarts=0))
    assert [type(d) for d in tree.on_exit("e2", CRASH, 0.0)] == [Escalate, Stop]
    assert tree.stop(0.0, "SIGTERM") == []
    assert tree.on_exit("e1", NORMAL, 0.0) == [Terminate("SIGTERM", 0)]


def test_a_second_stop_kills_everything_at_once() -> None:
    tree = running(flat())
    tree.stop(0.0)
    assert [type(d) for d in tree.kill(0.0)] == [Kill, Kill, Kill]
    assert tree.kill(0.0) == []
    assert tree.on_exit("a", CRASH, 0.0) == []
    assert tree.on_exit("b", CRASH, 0.0) == []
    assert tree.on_exit("c", CRASH, 0.0) == [Terminate("asked to end at once", 1)]


def test_one_for_one_restarts_the_child_alone() -> None:
    assert running(flat("one_for_one")).on_exit("b", CRASH, 1.0) == [Start("b")]


def test_one_for_one_restarts_a_child_while_a_sibling_is_still_starting() -> None:
    tree = SupervisorTree(flat())
    tree.start(0.0)
    tree.on_started("a", 0.0)
    assert tree.on_exit("a", CRASH, 0.0) == [Start("a")]
    assert tree.on_started("b", 0.0) == [], "the first start of c waits for all those before it"
    assert tree.on_started("a", 0.0) == [Start("c")]


def test_rest_for_one_restarts_the_child_and_exactly_those_after_it() -> None:
    tree = running(flat("rest_for_one"))
    assert tree.on_exit("b", CRASH, 1.0) == stops("c")
    assert tree.on_exit("c", NORMAL, 1.0) == [Start("b")]
    assert tree.on_started("b", 1.0) == [Start("c")]


def test_one_for_all_stops_the_others_right_to_left_and_starts_all_left_to_right() -> None:
    tree = running(flat("one_for_all"))
    assert tree.on_exit("b", CRASH, 1.0) == stops("c")
    assert tree.on_exit("c", NORMAL, 1.0) == stops("a")
    assert tree.on_exit("a", NORMAL, 1.0) == [Start("a")]
    assert tree.on_started("a", 1.0) == [Start("b")]
    assert tree.on_started("b", 1.0) == [Start("c")]


def test_a_crash_of_a_child_that_waits_to_be_stopped_counts_as_no_restart() -> None:
    tree = running(flat("one_for_all", max_restarts=1))
    assert tree.on_exit("a", CRASH, 1.0) == stops("c")
    assert tree.on_exit("b", CRASH, 1.0) == []
    assert tree.on_exit("c", CRASH, 1.0) == [Start("a")]


def test_a_crash_left_of_a_running_restart_widens_it() -> None:
    tree = running(flat("rest_for_one"))
    assert tree.on_exit("b", CRASH, 1.0) == stops("c")
    assert tree.on_exit("a", CRASH, 1.0) == []
    assert tree.on_exit("c", NORMAL, 1.0) == [Start("a")]


def test_a_nested_supervisor_goes_down_and_up_whole_when_its_parent_restarts_it() -> None:
    tree = running(nested())
    assert tree.on_exit("a", CRASH, 1.0) == stops("z")
    assert tree.on_exit("z", NORMAL, 1.0) == stops("e2")
    assert tree.on_exit("e1", CRASH, 1.0) == [], "it was to go down anyway"
    assert tree.on_exit("e2", NORMAL, 1.0) == [Start("a")]
    assert tree.on_started("a", 1.0) == [Start("e1")]


@pytest.mark.parametrize(
    ("restart", "exit", "restarted"),
    [
        ("permanent", NORMAL, True),
        ("permanent", CRASH, True),
        ("transient", NORMAL, False),
        ("transient", CRASH, True),
        ("temporary", NORMAL, False),
        ("temporary", CRASH, False),
    ],
)
def test_the_restart_type_says_which_exits_are_restarted(
    restart: RestartType, exit: Exit, restarted: bool
) -> None:
    tree = running(SupervisorSpec("root", (child("a", restart), child("b"))))
    assert tree.on_exit("a", exit, 1.0) == ([Start("a")] if restarted else [])


def test_a_restart_of_all_brings_back_finished_transient_children_but_no_temporary_ones() -> None:
    children = (child("a"), child("once", "temporary"), child("job", "transient"))
    tree = running(SupervisorSpec("root", children, strategy="one_for_all"))
    tree.on_exit("job", NORMAL, 1.0)
    tree.on_exit("once", NORMAL, 1.0)
    assert tree.on_exit("a", CRASH, 1.0) == [Start("a")]
    assert tree.on_started("a", 1.0) == [Start("job")]


def test_too_many_restarts_end_the_root_with_a_reason() -> None:
    tree = running(flat(max_restarts=1))
    assert tree.on_exit("b", CRASH, 1.0) == [Start("b")]
    reason = "root: more than 1 restarts in 5 s; last: b killed by SIGKILL"
    assert tree.on_exit("b", CRASH, 1.0) == [Escalate("root", reason), *stops("c")]
    assert tree.on_exit("c", NORMAL, 1.0) == stops("a")
    assert tree.on_exit("a", NORMAL, 1.0) == [Terminate(reason, 1)]


def test_a_stop_request_does_not_turn_a_failure_into_success() -> None:
    tree = running(flat(max_restarts=0))
    tree.on_exit("c", CRASH, 1.0)
    tree.stop(1.0)
    tree.on_exit("b", NORMAL, 1.0)
    assert tree.on_exit("a", NORMAL, 1.0) == [
        Terminate("root: more than 0 restarts in 5 s; last: c killed by SIGKILL", 1)
    ]


def test_a_kill_keeps_the_reason_of_a_failure() -> None:
    tree = running(flat(max_restarts=0))
    tree.on_exit("c", CRASH, 1.0)
    tree.kill(1.0)
    tree.on_exit("b", CRASH, 1.0)
    assert tree.on_exit("a", CRASH, 1.0) == [
        Terminate("root: more than 0 restarts in 5 s; last: c killed by SIGKILL", 1)
    ]


def test_a_nested_supervisor_that_gives_up_is_a_crashed_child_of_its_parent() -> None:
    tree = running(nested())
    tree.on_exit("e1", CRASH, 1.0)
    escalated = tree.on_exit("e1", CRASH, 1.0)
    assert [type(d) for d in escalated] == [Escalate, Stop]
    assert tree.on_exit("e2", NORMAL, 1.0) == stops("z"), "rest_for_one of the parent"
    assert tree.on_exit("z", NORMAL, 1.0) == [Start("e1")]
    assert tree.on_started("e1", 1.0) == [Start("e2")]
    assert tree.on_exit("e2", CRASH, 1.0) == [Start("e2")], "its new life has a new window"


def test_a_failed_restart_counts_like_any_exit_and_is_no_loop() -> None:
    tree = running(flat(max_restarts=2))
    assert tree.on_exit("a", CRASH, 1.0) == [Start("a")]
    assert tree.on_exit("a", CRASH, 1.0) == [Start("a")]
    assert isinstance(tree.on_exit("a", CRASH, 1.0)[0], Escalate)


def test_a_fatal_exit_while_starting_ends_the_tree_with_its_text_and_code() -> None:
    tree = SupervisorTree(flat())
    tree.start(0.0)
    tree.on_started("a", 0.0)
    fatal = Exit("fatal", "shop.flows cannot be imported", 2)
    assert tree.on_exit("b", fatal, 0.0) == stops("a")
    assert tree.on_exit("a", NORMAL, 0.0) == [Terminate("b: shop.flows cannot be imported", 2)]


def test_a_fatal_exit_after_ready_is_an_ordinary_crash() -> None:
    assert running(flat()).on_exit("b", Exit("fatal", "port taken"), 1.0) == [Start("b")]


def test_children_that_do_not_know_each_other_start_and_stop_together() -> None:
    tree = SupervisorTree(SupervisorSpec("root", (child("a"), child("b")), together=True))
    assert tree.start(0.0) == [Start("a"), Start("b")]
    tree.on_started("a", 0.0)
    tree.on_started("b", 0.0)
    assert tree.stop(0.0) == stops("b", "a")
    assert tree.on_exit("b", NORMAL, 0.0) == []
    assert isinstance(tree.on_exit("a", NORMAL, 0.0)[0], Terminate)


def test_an_empty_supervisor_is_up_at_once() -> None:
    tree = SupervisorTree(SupervisorSpec("root", (SupervisorSpec("none", ()), child("a"))))
    assert tree.start(0.0) == [Start("a")]


def test_a_stop_before_the_start_starts_nothing() -> None:
    tree = SupervisorTree(flat())
    assert tree.stop(0.0, "early") == [Terminate("early", 0)]
    assert tree.start(0.0) == []


def test_the_window_counts_a_restart_exactly_at_its_edge_and_forgets_older_ones() -> None:
    window = RestartWindow(max_restarts=1, max_seconds=5.0)
    assert window.add(0.0)
    assert not window.add(5.0)
    fresh = RestartWindow(max_restarts=1, max_seconds=5.0)
    assert fresh.add(0.0)
    assert fresh.add(5.1)


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda: SupervisorSpec("root", (child("a"), child("a"))), id="double"),
        pytest.param(lambda: SupervisorSpec("a", (child("a"),)), id="supervisor-and-child"),
        pytest.param(lambda: SupervisorSpec("root", (), max_restarts=-1), id="max_restarts"),
        pytest.param(lambda: SupervisorSpec("root", (), max_seconds=0), id="max_seconds"),
        pytest.param(
            lambda: SupervisorSpec("root", (), strategy="one_for_all", together=True), id="together"
        ),
        pytest.param(lambda: ChildSpec("a", role="a", shutdown_s=-1), id="shutdown_s"),
        pytest.param(lambda: ChildSpec("", role="a"), id="empty"),
    ],
)
def test_a_tree_that_makes_no_sense_is_refused(build: Callable[[], object]) -> None:
    with pytest.raises(ConfigurationError):
        build()


def on_demand() -> SupervisorSpec:
    extra = ChildSpec("x", "x", "temporary", on_demand=True)
    return SupervisorSpec("root", (child("a"), extra, child("z")), max_restarts=1)


def test_a_child_on_demand_is_started_when_it_is_asked_for_and_not_before() -> None:
    tree = running(on_demand())
    assert tree.state("x") is State.ENDED
    assert tree.demand("x", 1.0) == [Start("x")]
    assert tree.demand("x", 1.0) == [], "it is there"
    assert tree.on_started("x", 1.0) == []
    assert tree.stop(2.0, "SIGTERM") == stops("z")
    assert tree.on_exit("z", NORMAL, 2.0) == stops("x")


@pytest.mark.parametrize("exit", [CRASH, NORMAL])
def test_the_end_of_a_child_on_demand_is_no_restart_however_often_it_comes(exit: Exit) -> None:
    tree = running(on_demand())
    for moment in range(5):
        assert tree.demand("x", float(moment)) == [Start("x")]
        tree.on_started("x", float(moment))
        assert tree.on_exit("x", exit, float(moment)) == []
    assert tree.on_exit("a", CRASH, 5.0) == [Start("a")], "the others have all their restarts"


def test_nothing_is_started_on_demand_in_a_tree_that_stops_nor_what_is_no_such_child() -> None:
    tree = running(on_demand())
    assert tree.demand("a", 1.0) == tree.demand("unknown", 1.0) == []
    tree.stop(2.0, "SIGTERM")
    assert tree.demand("x", 2.0) == []


def test_a_restart_of_the_whole_group_starts_no_child_that_nobody_asked_for() -> None:
    extra = ChildSpec("x", "x", "temporary", on_demand=True)
    tree = running(SupervisorSpec("root", (child("a"), extra), strategy="one_for_all"))
    tree.demand("x", 1.0)
    tree.on_started("x", 1.0)
    assert tree.on_exit("a", CRASH, 2.0) == stops("x")
    assert tree.on_exit("x", NORMAL, 2.0) == [Start("a")]
    assert tree.on_started("a", 2.0) == []


def test_only_a_temporary_child_can_be_on_demand() -> None:
    with pytest.raises(ConfigurationError, match="temporary"):
        ChildSpec("x", "x", on_demand=True)
