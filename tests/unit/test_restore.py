"""Decoded values become what an annotation says, or are refused by their place."""

from __future__ import annotations

import collections
import contextlib
import sys
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from continuum.errors import PayloadError
from continuum.model.payload import decode, encode
from continuum.model.restore import identity, restorer
from tests.unit.restore_types import (
    Access,
    B,
    Box,
    C,
    Cat,
    Checked,
    Color,
    Customer,
    Dated,
    Dog,
    Ints,
    Left,
    Line,
    Movie,
    Open,
    Order,
    Point,
    Reading,
    Right,
    Secret,
    Sku,
    T,
    Total,
    Twin,
    UserId,
)


def there_and_back(annotation: Any, value: object) -> object:
    return restorer(annotation)(decode(encode(value)))


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Line, Line("a", Decimal("1.50"), Color.BLUE)),
        (
            Order,
            Order(
                id=UUID(int=1),
                lines=[Line("a", Decimal(1))],
                parent=Order(id=UUID(int=2)),
                placed=datetime(2026, 11, 22, 6, 30, tzinfo=UTC),
            ),
        ),
        (Total, Total([1.0, 2.0])),
        (Dated, Dated(date(2026, 1, 1), date(2026, 1, 2))),
        (Box[Line], Box(Line("a", Decimal(1)), [Line("b", Decimal(2))], Box(Line("c", Decimal(3))))),
        (Box[list[date]], Box([date(2026, 1, 1)])),
        (Box[int | None], Box(None, [1, None])),
        (Ints, Ints(1, [2])),
        (Twin, Twin(Twin())),
        (Reading, Reading(sensor_id="s", at=date(2026, 1, 1), values=[1.0])),
        (Left | Right, Left(1)),
        (Left | Right, Right(1)),
        (Point, Point(1, 2.0)),
        (Movie, {"title": "t"}),
        (Customer, Customer(customerName="a", born=date(2000, 1, 1))),
        (list[Open], [Open(a=1, b=2)]),  # type: ignore[call-arg]
        (Color, Color.PAIR),
        (Access, Access.READ | Access.WRITE),
        (Sku, Sku("s")),
        (list[Color], [Color.RED]),
        (dict[UUID, list[Point]], {UUID(int=1): [Point(1, 2.0)]}),
        (dict[Color, Line], {Color.RED: Line("a", Decimal(1))}),
        (set[Color], {Color.RED, Color.PAIR}),
        (frozenset[Point], frozenset({Point(1)})),
        (tuple[Color, ...], (Color.RED, Color.BLUE)),
        (tuple[Color, Line], (Color.RED, Line("a", Decimal(1)))),
        (tuple[()], ()),
        (Sequence[Color], [Color.RED]),
        (Sequence[Color], (Color.RED,)),
        (Sequence[str], "text"),
        (Iterable[Color], {Color.RED}),
        (Mapping[str, Color], {"a": Color.RED}),
        (collections.deque[Color], collections.deque([Color.RED])),
        (collections.OrderedDict[str, Color], collections.OrderedDict(a=Color.RED)),
        (collections.Counter[str], collections.Counter("abba")),
        (typing.List[Color], [Color.RED]),  # noqa: UP006 - an older way to say it
        (typing.Optional[Color], None),  # noqa: UP045 - an older way to say it
        (list, [1, "a"]),
        (tuple, (1, "a")),
        (dict, {1: 2}),
        (bytearray, bytearray(b"x")),
        (Color | int | None, 5),
        (Color | int | None, Color.RED),
        (int | float, 3),
        (float | int, 3),
        (list[float] | list[int], [1]),
        (Cat | Dog, Dog("d")),
        (Dog | Cat, Cat("c")),
        (dict[str, int] | Cat, {"name": 1}),
        (list[Cat | Dog], [Dog("d"), Cat("c")]),
        (Literal["a", 1, Color.RED], Color.RED),
        (Literal[1], 1),
        (UserId, UserId("u")),
        (Annotated[list[Color], "note"], [Color.RED]),
        (None, None),
        (bool, True),
        (date, datetime(2026, 1, 1)),
    ],
    ids=lambda part: "set" if isinstance(part, set | frozenset) else str(part),  # workers must agree on names
)
def test_a_value_comes_back_as_its_annotation_says(annotation: Any, value: object) -> None:
    back = there_and_back(annotation, value)
    assert back == value
    assert type(back) is type(value)
    if not isinstance(value, set | frozenset):  # whose order follows the hash of the day
        assert repr(back) == repr(value)


def test_an_int_is_widened_to_float_and_nothing_else_is_converted() -> None:
    restored = restorer(list[float])([1, 2.5])
    assert repr(restored) == "[1.0, 2.5]"
    for annotation, value in ((int, 1.0), (str, 1), (int, "1"), (bool, 1), (bytes, "x"), (Decimal, 1)):
        with pytest.raises(PayloadError):
            restorer(annotation)(value)


@pytest.mark.parametrize("annotation", [Any, object, T, "Unresolved", typing.ForwardRef("Unresolved")])
def test_an_annotation_that_says_nothing_costs_nothing(annotation: object) -> None:
    assert restorer(annotation) is identity


def test_type_variables_stand_for_their_bounds_and_constraints() -> None:
    assert restorer(B)(1) == 1
    assert restorer(C)("a") == "a"
    with pytest.raises(PayloadError, match="expected int, got str 'a'"):
        restorer(B)("a")


def test_what_json_can_say_is_taken_for_tuples_sets_and_records() -> None:
    assert restorer(tuple[int, str])([1, "a"]) == (1, "a")
    assert restorer(set[int])([1, 2]) == {1, 2}
    assert restorer(frozenset[Color])(["red"]) == frozenset({Color.RED})
    assert restorer(Point)([1]) == Point(1)
    assert restorer(Cat)({"name": "c"}) == Cat("c")
    assert restorer(Reading)({"sensor_id": "s", "at": date(2026, 1, 1)}).values == []  # type: ignore[attr-defined]


def test_a_value_that_is_restored_already_stays_as_it_is() -> None:
    order = Order(id=UUID(int=1))
    assert restorer(Order)(order) is order


def test_the_constructor_of_a_record_runs_and_may_refuse() -> None:
    with pytest.raises(PayloadError, match=r"value\[1\]: Checked refused the value: ValueError: count is"):
        restorer(list[Checked])([{"count": 1}, {"count": -1}])
    with pytest.raises(PayloadError, match=r"value: Sku refused the value: ValueError: empty"):
        restorer(Sku)("")


def test_fields_that_the_constructor_computes_are_taken_from_the_payload() -> None:
    total = Total([1.0, 2.0], scale=10.0)
    back = there_and_back(Total, total)
    assert isinstance(back, Total)
    assert back.sum == 30.0
    assert restorer(Total)({"parts": [1], "scale": 4}) == Total([1.0], scale=4.0)


def test_a_dataclass_that_needs_what_is_not_stored_is_rebuilt_from_its_fields() -> None:
    back = there_and_back(Secret, Secret("n", "abc"))
    assert isinstance(back, Secret)
    assert (back.name, back.digest, back.tries) == ("n", "cba", 0)


def test_the_first_of_two_dataclasses_with_the_same_fields_is_chosen() -> None:
    @dataclass
    class Bird:
        name: str

    assert restorer(Dog | Bird)({"name": "x"}) == Dog("x")
    assert restorer(Bird | Dog)({"name": "x"}) == Bird("x")


def test_two_unions_that_differ_in_their_order_are_not_confused() -> None:
    assert restorer(list[str | Color])(["red"]) == ["red"]
    assert restorer(list[Color | str])(["red"]) == [Color.RED]


@pytest.mark.parametrize(
    ("annotation", "value", "path", "text"),
    [
        (
            Order,
            {"id": UUID(int=1), "lines": [{"sku": "a", "price": Decimal(1)}, {"sku": "b", "price": "abc"}]},
            "value.lines[1].price",
            "expected Decimal, got str 'abc'",
        ),
        (Order, {"id": UUID(int=1), "parent": {"id": 5}}, "value.parent.id", "expected UUID, got int 5"),
        (Order, {}, "value", "Order lacks 'id'"),
        (Order, {"id": UUID(int=1), "note": 1}, "value", "Order has no field 'note'"),
        (Order, {"id": UUID(int=1), 5: 1}, "value", "Order has no field 5"),
        (Order, [], "value", "expected Order, got list of 0"),
        (
            list[Line],
            [{"sku": "a", "price": Decimal(1), "color": "green"}],
            "value[0].color",
            "expected Color, got str 'green'",
        ),
        (dict[str, list[int]], {"a": [1, "x"]}, "value['a'][1]", "expected int, got str 'x'"),
        (dict[int, int], {"a": 1}, "value['a']", "expected int, got str 'a'"),
        (set[int], {"a"}, "value{'a'}", "expected int, got str 'a'"),
        (tuple[int, str], (1, 2), "value[1]", "expected str, got int 2"),
        (tuple[int, str], (1,), "value", "expected 2 items, got 1"),
        (tuple[int, ...], [1, None], "value[1]", "expected int, got None"),
        (list[int], (1,), "value", "expected list[int], got tuple of 1"),
        (int | str | None, 1.5, "value", "expected int | str | None, got float 1.5"),
        (Order | None, {"id": 1}, "value.id", "expected UUID, got int 1"),
        (Order | Cat, {"id": 1}, "value.id", "expected UUID, got int 1"),
        (Dog | Cat, {"color": 1}, "value", "fits no member of Dog | Cat: Dog has no field 'color'"),
        (Literal["a", "b"], "c", "value", "expected Literal['a', 'b'], got str 'c'"),
        (Literal[1], True, "value", "expected Literal[1], got bool True"),
        (Reading, {"sensor_id": "s", "at": 1}, "value.at", "expected date, got int 1"),
        (Reading, {"sensor_id": "s"}, "value", "Reading lacks 'at'"),
        (Left, {"type": "Right", "x": 1}, "value", "expected Left, got one tagged 'Right'"),
        (Point, (1, 2.0, 3), "value", "Point has 2 fields, the data 3"),
        (Point, ("a",), "value[0]", "expected int, got str 'a'"),
        (Movie, {"year": 1}, "value", "Movie lacks 'title'"),
        (Movie, {"title": 1}, "value['title']", "expected str, got int 1"),
        (Movie, {"title": "t", "zz": 1}, "value", "Movie has no field 'zz'"),
        (Customer, {"name": "a", "born": "never"}, "value.born", "Customer: Input should be a valid date"),
        (Box[int], {"inner": "a", "more": [], "next": None}, "value.inner", "expected int, got str 'a'"),
        (Ints, {"inner": "a"}, "value.inner", "expected int, got str 'a'"),
        (
            list[Customer],
            [{"name": "a", "born": date(2000, 1, 1), "friends": [1]}],
            "value[0].friends[0]",
            "valid dictionary",
        ),
        (Callable[[], int], 1, "value", "expected Callable, got int 1"),
        (complex, "1j", "value", "expected complex, got str '1j'"),
        (int, "x" * 500, "value", "expected int, got str 'xxx"),
        (float, 1 << 5000, "value", "expected float, got int of 5001 bits"),
        (bool, [0] * 1000, "value", "expected bool, got list of 1000"),
    ],
    ids=str,
)
def test_a_value_that_does_not_fit_is_refused_with_path_and_types(
    annotation: Any, value: object, path: str, text: str
) -> None:
    with pytest.raises(PayloadError) as caught:
        restorer(annotation)(value)
    assert caught.value.path == path
    assert text in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_deep_record_is_restored_without_compiling_its_class_for_each_level() -> None:
    twin = Twin()
    for _ in range(90):
        twin = Twin(twin)
    assert there_and_back(Twin, twin) == twin
    box: Box[int] = Box(0)
    for n in range(90):
        box = Box(n, [], box)
    assert there_and_back(Box[int], box) == box


leaves: st.SearchStrategy[tuple[Any, Any]] = st.sampled_from(
    [
        (int, 1),
        (str, "a"),
        (Color, Color.RED),
        (Line, Line("a", Decimal(1))),
        (UUID, UUID(int=1)),
        (Point, Point(1, 2.0)),
        (None, None),
        (Cat, Cat("c")),
    ]
)
# Annotations that are made at run time are no types to a type checker.
LIST, DICT, TUPLE, OPTIONAL, BOX = (
    typing.cast("Any", generic) for generic in (list, dict, tuple, typing.Optional, Box)
)
typed_values: st.SearchStrategy[tuple[Any, Any]] = st.recursive(
    leaves,
    lambda inner: (
        inner.map(lambda pair: (LIST[pair[0]], [pair[1]] * 2))
        | inner.map(lambda pair: (DICT[str, pair[0]], {"k": pair[1]}))
        | st.tuples(inner, inner).map(lambda two: (TUPLE[two[0][0], two[1][0]], (two[0][1], two[1][1])))
        | inner.map(lambda pair: (OPTIONAL[pair[0]], pair[1]))
        | inner.map(lambda pair: (BOX[pair[0]], Box(pair[1], [pair[1]])))
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=150)
@given(typed_values)
def test_any_typed_value_comes_back_equal(pair: tuple[Any, object]) -> None:
    annotation, value = pair
    assert repr(there_and_back(annotation, value)) == repr(value)


@settings(deadline=None, max_examples=150)
@given(typed_values, typed_values)
def test_a_value_of_another_type_is_restored_or_refused_and_nothing_else(
    wanted: tuple[Any, object], given_: tuple[Any, object]
) -> None:
    with contextlib.suppress(PayloadError):
        there_and_back(wanted[0], given_[1])


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type statements are of Python 3.12")
def test_a_type_alias_may_refer_to_itself() -> None:
    names: dict[str, Any] = {}
    exec("type Json = int | list[Json]\ntype Pair[X] = tuple[X, X]", names)
    assert restorer(names["Json"])([1, [2]]) == [1, [2]]
    assert restorer(names["Pair"][Color])(["red", "blue"]) == (Color.RED, Color.BLUE)
    with pytest.raises(PayloadError):
        restorer(names["Json"])([1, ["a"]])


def test_pydantic_is_not_imported_for_those_who_do_not_use_it() -> None:
    import subprocess

    program = (
        "import sys; from dataclasses import dataclass\n"
        "from continuum.model.payload import encode\n"
        "from continuum.model.restore import restorer\n"
        "class Odd: pass\n"
        "restorer(Odd)\n"
        "try: encode(Odd())\n"
        "except Exception: print('pydantic' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
