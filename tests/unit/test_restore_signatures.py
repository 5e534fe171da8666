"""Arguments and results become what the annotations of a signature say, or are refused by their place."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import pytest

from continuum.errors import PayloadError
from continuum.model.restore import signature_restorers
from tests.unit.restore_types import Color, Line, Order


async def checkout(order: Order, /, cents: int, *rest: Color, note: str = "", **more: Line) -> list[Line]:
    raise NotImplementedError


def test_arguments_are_restored_by_their_parameters() -> None:
    order = {"id": UUID(int=1)}
    line = {"sku": "a", "price": Decimal(1)}
    args, kwargs = signature_restorers(checkout).restore_arguments(
        [order, 5, "red", "blue"], {"note": "n", "extra": line}
    )
    assert args == (Order(id=UUID(int=1)), 5, Color.RED, Color.BLUE)
    assert kwargs == {"note": "n", "extra": Line("a", Decimal(1))}


def test_plain_arguments_pass_as_they_are() -> None:
    def fn(a: int, b: str = "", c: float = 0.0) -> None: ...

    restore = signature_restorers(fn).restore_arguments
    assert restore([1], {}) == ((1,), {})
    assert restore([1, "b"], {}) == ((1, "b"), {})
    assert repr(restore([1, "b", 2], {"c": 1})) == "((1, 'b', 2.0), {'c': 1.0})"
    assert restore([], {}) == ((), {})


@pytest.mark.parametrize(
    ("args", "kwargs", "path", "text"),
    [
        (
            [{"id": UUID(int=1), "lines": [{"sku": 1, "price": Decimal(1)}]}],
            {},
            "args[0].lines[0].sku",
            "expected str",
        ),
        ([{"id": UUID(int=1)}, "5"], {}, "args[1]", "expected int, got str '5'"),
        ([{"id": UUID(int=1)}, 5, "green"], {}, "args[2]", "expected Color"),
        ([{"id": UUID(int=1)}, 5], {"note": 1}, "kwargs['note']", "expected str, got int 1"),
        ([{"id": UUID(int=1)}, 5], {"extra": 1}, "kwargs['extra']", "expected Line, got int 1"),
    ],
)
def test_an_argument_that_does_not_fit_is_refused_with_its_path(
    args: list[object], kwargs: dict[str, object], path: str, text: str
) -> None:
    with pytest.raises(PayloadError) as caught:
        signature_restorers(checkout).restore_arguments(args, kwargs)
    assert caught.value.path == path
    assert text in str(caught.value)


def test_a_result_is_restored_by_the_return_annotation() -> None:
    restore = signature_restorers(checkout).restore_result
    assert restore([{"sku": "a", "price": Decimal(1)}]) == [Line("a", Decimal(1))]
    with pytest.raises(PayloadError) as caught:
        restore([{"sku": "a", "price": 1}])
    assert caught.value.path == "result[0].price"


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ([], {}, "missing a required"),
        ([1], {}, "missing a required argument: 'cents'"),
        ([1, 2], {"cents": 3}, "multiple values for argument 'cents'"),
        ([], {"order": 1, "cents": 2}, "order"),
    ],
)
def test_arguments_that_do_not_fit_the_signature_are_a_type_error(
    args: list[object], kwargs: dict[str, object], text: str
) -> None:
    with pytest.raises(TypeError, match=r"^checkout\(\) .*; its signature is checkout\(order") as caught:
        signature_restorers(checkout).bind(args, kwargs)
    assert text in str(caught.value)


def test_arguments_that_fit_the_signature_bind() -> None:
    def fn(a: int, b: str = "", *, c: int = 0) -> None: ...

    bind = signature_restorers(fn).bind
    bind([1], {})
    bind([1, "b"], {"c": 1})
    bind([], {"a": 1})
    for args in ([], [1, "b", 3]):
        with pytest.raises(TypeError):
            bind(args, {})


def test_names_are_looked_up_when_the_first_value_is_restored() -> None:
    def later(value: LaterDefined) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    restorers = signature_restorers(later)
    globals()["LaterDefined"] = Line
    try:
        args, _ = restorers.restore_arguments([{"sku": "a", "price": Decimal(1)}], {})
    finally:
        del globals()["LaterDefined"]
    assert args == (Line("a", Decimal(1)),)


def test_a_name_that_cannot_be_resolved_costs_only_its_own_parameter() -> None:
    def fn(a: Nowhere, b: Line, c: Nowhere | None = None) -> Nowhere: ...  # type: ignore[name-defined]  # noqa: F821

    restorers = signature_restorers(fn)
    args, _ = restorers.restore_arguments([{"x": 1}, {"sku": "a", "price": Decimal(1)}, 5], {})
    assert args == ({"x": 1}, Line("a", Decimal(1)), 5)
    assert restorers.restore_result({"x": 1}) == {"x": 1}


def test_a_local_class_that_the_function_uses_is_resolved() -> None:
    @dataclass
    class Node:
        name: str
        child: Node | None = None

    def fn(node: Node) -> Node:
        return Node("copy of " + node.name)

    args, _ = signature_restorers(fn).restore_arguments([{"name": "a", "child": {"name": "b"}}], {})
    assert args == (Node("a", Node("b")),)
