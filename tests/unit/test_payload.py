"""What goes into a payload comes out again; what cannot is refused by its place; a person can read it."""

from __future__ import annotations

import collections
import dataclasses
import enum
import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from continuum.errors import PayloadError
from continuum.model.display import to_jsonable
from continuum.model.payload import decode, encode
from tests.unit.payload_values import NESTING_MAX, values

BERLIN = ZoneInfo("Europe/Berlin")


class Color(enum.Enum):
    RED = "red"
    PAIR = (1, 2)
    MANY = [1, 2]  # noqa: RUF012 - a member, not an attribute


class Size(enum.IntEnum):
    BIG = 3


class Kind(enum.StrEnum):
    NEW = "new"


class Point(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass(frozen=True)
class Line:
    sku: str
    price: object


@dataclasses.dataclass
class Order:
    id: str
    lines: list[Line]


class Reading(msgspec.Struct):
    sensor: str
    at: date


class Left(msgspec.Struct, tag=True):
    x: int


class Customer(pydantic.BaseModel):
    name: str
    born: date
    tags: set[str] = set()

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def shout(self) -> str:
        return self.name.upper()


class Sku(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


def typed(value: object) -> object:
    """The value with its types spelled out, so that ``1 == True`` and the like cannot hide a difference."""
    if isinstance(value, dict):
        return [(typed(key), typed(part)) for key, part in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [typed(part) for part in value]
    if isinstance(value, set | frozenset):
        return type(value), sorted(repr(typed(part)) for part in value)
    if isinstance(value, datetime | time):
        return type(value), value.replace(tzinfo=None), value.utcoffset(), value.fold
    return type(value), repr(value)


def nested(depth: int, wrap: Callable[[list[Any]], Any]) -> Any:
    value = wrap([])
    for _ in range(depth - 1):
        value = wrap([value])
    return value


@settings(deadline=None, max_examples=150)
@given(values)
def test_any_nested_value_comes_back_equal_and_of_the_same_types(value: object) -> None:
    back = decode(encode(value))
    assert back == value
    assert typed(back) == typed(value)


@settings(deadline=None)
@given(st.datetimes(timezones=st.timezones()))
def test_a_datetime_of_a_named_zone_keeps_its_instant_and_its_offset(moment: datetime) -> None:
    back = decode(encode(moment))
    assert isinstance(back, datetime)
    assert back.utcoffset() == moment.utcoffset()
    assert back.replace(tzinfo=None) == moment.replace(tzinfo=None)
    assert back.fold == moment.fold


@pytest.mark.parametrize(
    "value",
    [
        -(2**63) - 1,
        -(2**63),
        2**64 - 1,
        2**64,
        -(2**1000),
        math.inf,
        -0.0,
        datetime.max,
        datetime(2026, 10, 25, 2, 30, fold=1),
        datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30, microseconds=7))),
        time(23, 59, 59, 999999, tzinfo=UTC),
        timedelta.min,
        timedelta.max,
        Decimal("-0.00"),
        Decimal("1E+999999"),
        UUID(int=0),
        {(1, frozenset({2})): {3: b""}},
        (),
        [((), set())],
        "é" * 200,
        list(range(300)),
    ],
)
def test_values_at_the_edges_come_back(value: object) -> None:
    assert typed(decode(encode(value))) == typed(value)


def test_not_a_number_comes_back() -> None:
    values = decode(encode([math.nan, Decimal("sNaN123")]))
    assert isinstance(values, list)
    assert math.isnan(values[0])
    assert str(values[1]) == "sNaN123"


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (Order("o1", [Line("a", Decimal(2))]), {"id": "o1", "lines": [{"sku": "a", "price": Decimal(2)}]}),
        (Reading("s", date(2026, 1, 2)), {"sensor": "s", "at": date(2026, 1, 2)}),
        (Left(1), {"type": "Left", "x": 1}),
        (
            Customer(name="n", born=date(2000, 1, 1), tags={"t"}),
            {"name": "n", "born": date(2000, 1, 1), "tags": {"t"}},
        ),
        ([Color.RED, Color.PAIR, Color.MANY], ["red", (1, 2), [1, 2]]),
        ([Size.BIG, Kind.NEW], [3, "new"]),
        ({Size.BIG: 1, Color.PAIR: 2}, {3: 1, (1, 2): 2}),
        (Point(1, 2), (1, 2)),
        (Sku("abc"), "abc"),
        (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (collections.defaultdict(list, a=[1]), {"a": [1]}),
        (collections.deque([1, 2]), [1, 2]),
        (bytearray(b"x"), b"x"),
        (memoryview(b"abcd")[1:3], b"bc"),
    ],
)
def test_richer_types_are_stored_as_what_they_are_made_of(value: object, stored: object) -> None:
    assert typed(decode(encode(value))) == typed(stored)


def test_bytes_of_a_set_do_not_depend_on_the_hash_seed() -> None:
    program = (
        "from continuum.model.payload import encode;"
        "print(encode([{'a', 'b', b'c', None, 5, ('x', frozenset('pqrs'))}, frozenset('abcdefgh')]).hex())"
    )
    texts = set()
    for seed in ("1", "2", "3"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        ran = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        texts.add(ran.stdout)
    assert len(texts) == 1


def cyclic() -> object:
    value: dict[str, Any] = {"a": [1]}
    value["a"].append({"back": value})
    return value


@pytest.mark.parametrize(
    ("value", "path", "text"),
    [
        (
            [Order("o1", [Line("a", 1)] * 3 + [Line("d", print)])],
            "value[0].lines[3].price",
            "function (print)",
        ),
        ({"a": {"b": [0, object()]}}, "value['a']['b'][1]", "value of type object cannot be encoded"),
        ({1: (2, lambda: 0)}, "value[1][1]", "function"),
        ([Order], "value[0]", "a class (Order)"),
        ([open], "value[0]", "function (open)"),
        ({"when": time(1, tzinfo=BERLIN)}, "value['when']", "gives no offset"),
        ({"text": "ok\ud800"}, "value['text']", "lone surrogate at 2"),
        (cyclic(), "value['a'][1]['back']", "contains itself"),
        ({Line("a", 1): 1}, f"value[{__name__}.Line]", "cannot be a dict key"),
        ([{"a": 1}, {Color.MANY: 1}], f"value[1][{__name__}.Color]", "cannot be a dict key"),
        ({"s": {Line("a", 1)}}, f"value['s']{{{__name__}.Line}}", "cannot be a member of a set"),
        ({"s": {Color.RED, "red"}}, "value['s']", "stored as the same value str 'red'"),
        (iter([1]), "value", "an iterator"),
        (ValueError("x"), "value", "an exception"),
        ([1j], "value[0]", "complex"),
    ],
)
def test_what_cannot_be_encoded_is_refused_with_its_path(value: object, path: str, text: str) -> None:
    with pytest.raises(PayloadError) as caught:
        encode(value)
    assert caught.value.path == path
    assert text in str(caught.value)


def test_an_open_file_and_a_coroutine_are_refused_with_what_to_do() -> None:
    async def work() -> None: ...

    pending = work()
    with Path(os.devnull).open() as file, pytest.raises(PayloadError, match="pass its path or its content"):
        encode({"log": file})
    with pytest.raises(PayloadError, match="await it first"):
        encode([pending])
    pending.close()


def test_the_path_begins_where_the_caller_says() -> None:
    with pytest.raises(PayloadError, match=r"^args\[0\]\.lines\[0\]\.price: ") as caught:
        encode(Order("o", [Line("a", print)]), path="args[0]")
    assert caught.value.path == "args[0].lines[0].price"


def test_a_record_whose_field_cannot_be_read_is_refused() -> None:
    order = Order("o", [])
    del order.lines
    with pytest.raises(PayloadError, match=r"value\[0\]: .*Order could not be read: AttributeError"):
        encode([order])


@pytest.mark.parametrize(
    "wrap",
    [list, tuple, frozenset, lambda parts: {"k": parts[0] if parts else 0}, lambda parts: Line("s", parts)],
    ids=["list", "tuple", "frozenset", "dict", "record and list"],
)
def test_nesting_is_held_to_its_limit(wrap: Callable[[list[Any]], Any]) -> None:
    deepest = NESTING_MAX // 2 if isinstance(wrap([]), Line) else NESTING_MAX
    decode(encode(nested(deepest, wrap)))
    for depth in (deepest + 1, 5 * deepest, 600, 5000):
        with pytest.raises(PayloadError, match="nested deeper than 100 levels"):
            encode(nested(depth, wrap))


def test_a_payload_over_the_limit_is_refused_with_both_sizes() -> None:
    assert len(encode("x" * 997, limit_bytes=1000)) == 1000
    with pytest.raises(PayloadError, match=r"value: payload of 1,001 bytes .* limit of 1,000 bytes"):
        encode("x" * 998, limit_bytes=1000)


def test_encoding_goes_on_after_a_refusal() -> None:
    for _ in range(3):
        with pytest.raises(PayloadError):
            encode([{"a": (1, {print})}])
        assert decode(encode([(1, {2})])) == [(1, {2})]


def test_threads_may_encode_at_the_same_time() -> None:
    expected = [encode([(n, {n}, Line("a", n))] * 50) for n in range(8)]
    seen: list[bool] = []

    def work(n: int) -> None:
        seen.append(all(encode([(n, {n}, Line("a", n))] * 50) == expected[n] for _ in range(40)))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 8


# Display.


def test_the_display_form_says_what_a_person_wants_to_read() -> None:
    shown = to_jsonable(
        {
            "order": Order("o1", [Line("a", Decimal("1.50"))]),
            "when": datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
            "for": timedelta(minutes=1, milliseconds=500),
            "id": UUID(int=1),
            "raw": b"\x00\xff",
            "set": {3, 1, "b", "a", None},
            "pair": (1, Color.RED),
            "odd": [math.inf, object(), 1 << 20_000],
            5: 1,
            (1, "a"): 2,
        }
    )
    assert shown == {
        "order": {"id": "o1", "lines": [{"sku": "a", "price": "1.50"}]},
        "when": "2026-01-02T03:04:00+00:00",
        "for": 60.5,
        "id": "00000000-0000-0000-0000-000000000001",
        "raw": {"base64": "AP8="},
        "set": [1, 3, "a", "b", None],
        "pair": [1, "red"],
        "odd": ["inf", "<object>", hex(1 << 20_000)],
        "5": 1,
        '[1, "a"]': 2,
    }


@settings(deadline=None)
@given(values)
def test_the_display_form_of_any_value_is_json(value: object) -> None:
    json.dumps(to_jsonable(value), allow_nan=False)


def test_the_display_form_of_a_cycle_ends() -> None:
    json.dumps(to_jsonable(cyclic()))
