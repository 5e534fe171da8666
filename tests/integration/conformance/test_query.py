"""Listing runs: namespaces, conditions, orders, pages."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from continuum.client.pages import query_of
from continuum.errors import ConfigurationError
from continuum.model.query import Condition, Order, Query, asc, attr, desc, field
from tests.integration.conformance.scene import Scene, seed


def found(scene: Scene, *where: Condition, namespace: str | None = "default") -> set[UUID]:
    return {row.id for row in scene.catalog.query(Query(where=where, namespace=namespace))}


def paged(scene: Scene, order: Order, limit: int, between_pages: bool = False) -> list[UUID]:
    """Return the ids of all pages, as a client walks them; runs may be added between two pages."""
    query, walked = Query(order=order, limit=limit), list[UUID]()
    while True:
        rows = scene.catalog.query(query)
        assert len(rows) <= limit + 1
        walked += [row.id for row in rows[:limit]]
        if len(rows) <= limit:
            return walked
        moment = getattr(rows[limit - 1], order.field)
        text = None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat()
        query = Query(order=order, limit=limit, cursor=(text, str(rows[limit - 1].id)))
        if between_pages:
            scene.insert()


@pytest.mark.rule("Q1")
def test_a_namespace_scopes_a_listing_and_none_lists_all(scene: Scene) -> None:
    ours, theirs = scene.insert(), scene.insert(namespace="billing")
    assert found(scene) == {ours}
    assert found(scene, namespace="billing") == {theirs}
    assert found(scene, namespace="nobody") == set()
    assert found(scene, namespace=None) == {ours, theirs}


@pytest.mark.rule("Q3")
def test_runs_are_found_by_state_and_workflow(scene: Scene) -> None:
    live, parked, done = scene.insert(workflow="a"), scene.parked(), scene.leased()
    scene.end(done)
    assert found(scene, field("state") == "running") == {live}
    assert found(scene, field("state") != "running") == {parked, done.run_id}
    assert found(scene, field("state").in_(["suspended", "completed"])) == {parked, done.run_id}
    assert found(scene, field("state").in_([])) == set()
    assert found(scene, field("workflow") == "a") == {live}
    assert found(scene, field("workflow") == "shop.checkout", field("state") == "completed") == {done.run_id}


@pytest.mark.rule("Q3")
def test_a_run_is_found_by_its_id_and_its_key(scene: Scene) -> None:
    first, second = scene.insert(key="order-1"), scene.insert()
    assert found(scene, field("id") == first) == found(scene, field("id") == str(first)) == {first}
    assert found(scene, field("id").in_([first, str(second)])) == {first, second}
    assert found(scene, field("id") != first) == {second}
    assert (
        found(scene, field("key") == "order-1") == found(scene, field("key").in_(["order-1", "x"])) == {first}
    )


@pytest.mark.rule("Q3")
def test_runs_are_found_by_their_times(scene: Scene) -> None:
    first, second, third = (scene.insert() for _ in range(3))
    moment = datetime.fromtimestamp(scene.row(second).created_at, UTC)
    assert found(scene, field("created_at") < moment) == {first}
    assert found(scene, field("created_at") <= moment) == {first, second}
    assert found(scene, field("created_at") == moment) == {second}
    assert found(scene, field("created_at") > moment) == {third}
    assert found(scene, field("created_at") >= moment) == {second, third}
    assert found(scene, field("created_at") > moment, field("created_at") < moment) == set()


@pytest.mark.rule("Q3")
def test_a_moment_that_has_not_come_satisfies_no_order(scene: Scene) -> None:
    scene.insert()
    done = scene.leased()
    scene.end(done)
    year_2000, year_2100 = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    assert found(scene, field("completed_at") > year_2000) == {done.run_id}
    assert found(scene, field("completed_at") < year_2100) == {done.run_id}


@pytest.mark.rule("Q3")
def test_attributes_are_equal_by_type(scene: Scene) -> None:
    number, text, truth = (scene.insert(attributes={"v": value}) for value in (1, "1", True))
    scene.insert()
    assert found(scene, attr("v") == 1) == found(scene, attr("v") == 1.0) == {number}
    assert found(scene, attr("v") == "1") == {text}
    assert found(scene, attr("v") == True) == {truth}  # noqa: E712
    assert found(scene, attr("v").in_([1, "1", "other"])) == {number, text}


@pytest.mark.rule("Q3")
def test_attributes_are_ordered_within_their_type(scene: Scene) -> None:
    runs = {value: scene.insert(attributes={"v": value}) for value in (9, 10, 2.5, "b", "a10", "a9")}
    scene.insert()
    assert found(scene, attr("v") < 10) == {runs[9], runs[2.5]}
    assert found(scene, attr("v") >= 9) == {runs[9], runs[10]}
    assert found(scene, attr("v") > "a10") == {runs["b"], runs["a9"]}
    assert found(scene, attr("v") <= "a10") == {runs["a10"]}


@pytest.mark.rule("Q3")
def test_nested_attributes_are_found_by_their_path(scene: Scene) -> None:
    pro = scene.insert(attributes={"customer": {"plan": "pro", "seats": 5}})
    free = scene.insert(attributes={"customer": {"plan": "free", "seats": 1}})
    scene.insert(attributes={"customer": "pro", "plan": "pro"})
    assert found(scene, attr("customer", "plan") == "pro") == {pro}
    assert found(scene, attr("customer", "seats") < 5) == {free}
    assert found(scene, attr("customer", "plan").in_(["pro", "free"])) == {pro, free}


@pytest.mark.rule("Q3")
def test_all_conditions_hold_at_once(scene: Scene) -> None:
    scene.insert(attributes={"a": 1, "b": 1})
    both = scene.insert(attributes={"a": 1, "b": 2})
    assert found(scene, attr("a") == 1, attr("b") > 1, field("workflow") == "shop.checkout") == {both}


@pytest.mark.rule("Q3")
def test_hostile_names_and_values_are_only_names_and_values(scene: Scene) -> None:
    name = 'it\'s; drop table "continuum_runs" {%s} \\ $.a'
    run_id = scene.insert(attributes={name: name}, workflow=name)
    assert found(scene, attr(name) == name, field("workflow") == name) == {run_id}
    assert found(scene, attr(name) != name) == found(scene, attr(name, "x") == name) == set()


@pytest.mark.rule("Q3")
def test_what_names_no_run_or_no_value_finds_nothing(scene: Scene) -> None:
    run_id = scene.insert(attributes={"v": None, "w": 1, "tags": ["a", "b"]})
    assert found(scene, field("id") == "no id") == found(scene, field("id").in_(["", "no id"])) == set()
    assert found(scene, field("id") == str(run_id).upper()) == {run_id}
    assert found(scene, attr("v") == None) == found(scene, attr("v") != 1) == set()  # noqa: E711
    assert found(scene, attr("w") != None) == {run_id}  # noqa: E711
    assert found(scene, field("created_at") == None) == found(scene, field("created_at") != None) == set()  # noqa: E711
    assert found(scene, attr("tags") == ["a"]) == set()
    assert found(scene, attr("tags") == ["a", "b"]) == found(scene, attr("tags") != ["b", "a"]) == {run_id}
    assert found(scene, attr("w") < "2") == found(scene, attr("tags") < ["b"]) == set()


@pytest.mark.parametrize(
    "query",
    [
        Query(where=(Condition(("owner",), False, "==", "n1"),)),
        Query(where=(field("created_at") > "yesterday",)),
        Query(where=(field("created_at") > datetime(2000, 1, 1),)),
        Query(where=(field("created_at").in_([object()]),)),
        Query(where=(Condition(("state",), False, "in", "running"),)),
        Query(order=Order("state")),
    ],
    ids=["field", "text", "naive", "object", "in", "order"],
)
def test_a_query_that_has_no_meaning_is_refused(scene: Scene, query: Query) -> None:
    with pytest.raises(ConfigurationError):
        scene.catalog.query(query)


ENDLESS = [float("inf"), float("-inf"), float("nan")]
UNSTORABLE = ["a\0b", "\ud800"]
MEANINGLESS = [
    *[field(name) > value for name in ("created_at", "started_at", "completed_at") for value in ENDLESS],
    *[field("created_at") < value for value in (1e300, 10**30, True, b"2000")],
    field("completed_at").in_([0, float("inf")]),
    *[field(name) == value for name in ("state", "workflow", "key", "id") for value in (5, b"x", ["x"])],
    *[field(name) == value for name in ("state", "workflow", "key", "id") for value in UNSTORABLE],
    *[field(name) > "\0" for name in ("key", "id")],
    field("key").in_(["order", "\udfff"]),
    *[attr("v") == value for value in (*ENDLESS, *UNSTORABLE, object(), b"x", {1, 2})],
    *[attr("v") < value for value in (*ENDLESS, *UNSTORABLE)],
    *[attr("v") == value for value in ({"a": ["\0"]}, {"\ud800": 1}, [float("inf")])],
    attr("v").in_([1, float("nan")]),
    *[attr("a", name) == 1 for name in UNSTORABLE],
    Condition((1,), True, "==", 1),  # type: ignore[arg-type]
]


@pytest.mark.rule("Q3")
def test_a_value_that_nothing_can_be_compared_with_is_refused_in_words(scene: Scene) -> None:
    for condition in MEANINGLESS:
        with pytest.raises(ConfigurationError) as refused:
            scene.catalog.query(Query(where=(condition,)))
        assert "\n" not in str(refused.value)
        with pytest.raises(ConfigurationError) as at_the_client:
            query_of("default", [condition], None, 100, None)
        assert str(at_the_client.value) == str(refused.value)


def test_no_field_is_equal_to_none(scene: Scene) -> None:
    scene.insert(key="None")
    for name in ("key", "state", "workflow", "id", "completed_at"):
        assert found(scene, field(name) == None) == found(scene, field(name) != None) == set()  # noqa: E711
        assert found(scene, field(name).in_([None])) == found(scene, field(name) > None) == set()


def test_the_newest_run_comes_first_unless_another_order_is_asked_for(scene: Scene) -> None:
    run_ids = [scene.insert() for _ in range(4)]
    assert [row.id for row in scene.catalog.query(Query())] == run_ids[::-1]
    assert [row.id for row in scene.catalog.query(Query(order=asc("created_at")))] == run_ids


def test_a_page_has_one_row_more_than_its_limit_if_there_are_more(scene: Scene) -> None:
    for _ in range(3):
        scene.insert()
    assert [len(scene.catalog.query(Query(limit=limit))) for limit in (1, 2, 3, 4)] == [2, 3, 3, 3]


@pytest.mark.rule("Q3")
@pytest.mark.parametrize("order", [asc("created_at"), desc("created_at")], ids=["asc", "desc"])
def test_pages_are_stable_while_runs_are_added(scene: Scene, order: Order) -> None:
    run_ids = [scene.insert() for _ in range(7)]
    walked = paged(scene, order, 2, between_pages=True)
    assert len(walked) == len(set(walked))
    old = [run_id for run_id in walked if run_id in run_ids]
    assert old == (run_ids[::-1] if order.descending else run_ids)


@pytest.mark.rule("Q3")
@pytest.mark.parametrize("order", [asc("completed_at"), desc("completed_at")], ids=["asc", "desc"])
def test_pages_reach_every_run_also_those_without_that_moment(scene: Scene, order: Order) -> None:
    leases = [scene.leased() for _ in range(3)]
    for lease in leases:
        scene.end(lease)
    waiting = {scene.insert() for _ in range(4)}
    done = [lease.run_id for lease in leases]
    walked = paged(scene, order, 2)
    assert [run_id for run_id in walked if run_id in done] == (done[::-1] if order.descending else done)
    assert len(walked) == 7
    assert set(walked) == {*done, *waiting}


@pytest.mark.rule("Q3")
def test_runs_of_one_transaction_are_paged_without_loss(scene: Scene) -> None:
    inserted = scene.catalog.insert([seed() for _ in range(9)])
    for order in (asc("created_at"), desc("created_at")):
        assert sorted(paged(scene, order, 2)) == sorted(row.run_id for row in inserted)
