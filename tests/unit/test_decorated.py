"""What can become a workflow or an activity, and the words for what cannot."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from continuum.core.definitions import Activity, Workflow, activity, workflow
from continuum.testing import run_sync


async def coroutine(x: int, y: int = 0) -> int:
    return x + y


def plain(x: int) -> int:
    return x


async def async_generator() -> AsyncIterator[int]:
    yield 1


def generator() -> Iterator[int]:
    yield 1


def plainly(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def called(*args: Any) -> Any:
        return fn(*args)

    return called


class Shop:
    async def sell(self, x: int) -> int:
        return x

    @classmethod
    async def make(cls, x: int) -> int:
        return x

    @staticmethod
    async def price(x: int) -> int:
        return x


class Sold:
    async def __call__(self, x: int) -> int:
        return x


@workflow(name="decorated.flow")
async def flow(x: int) -> int:
    return x


@activity(name="decorated.work")
def work(x: int) -> int:
    return x


NEITHER: dict[str, tuple[object, str]] = {
    "a partial": (functools.partial(coroutine, 1), "partial"),
    "a partial of a plain function": (functools.partial(plain, 1), "partial"),
    "a bound method": (Shop().sell, "Shop.sell is bound to an object"),
    "a bound class method": (Shop.make, "Shop.make is bound to an object"),
    "a class method": (vars(Shop)["make"], "Shop.make is a classmethod"),
    "a method": (Shop.sell, "Shop.sell is a method"),
    "an object": (Sold(), "an object of Sold that can be called"),
    "a class": (Shop, "Shop is a class"),
    "a builtin": (len, "len is built in"),
    "an async generator": (async_generator, "async_generator is a generator: it yields"),
    "a generator": (generator, "generator is a generator: it yields"),
    "a workflow": (flow, "decorated.flow is a workflow already; decorate it once"),
    "an activity": (work, "decorated.work is an activity already; decorate it once"),
    "a name": ("shop.order", "name='shop.order'"),
    "a number": (5, "5 is none"),
    "a cached function": (functools.cache(plain), "that can be called"),
}


@pytest.mark.rule("D1")
@pytest.mark.parametrize("options", [{}, {"name": "decorated.named"}], ids=["bare", "named"])
@pytest.mark.parametrize("decorate", [workflow, activity])
@pytest.mark.parametrize("what", NEITHER)
def test_what_is_no_function_of_its_own_is_refused_with_its_kind(
    decorate: Any, options: dict[str, str], what: str
) -> None:
    given, words = NEITHER[what]
    with pytest.raises(TypeError) as refused:
        decorate(**options)(given) if options else decorate(given)
    assert words in str(refused.value)
    assert str(refused.value).startswith(f"@{decorate.__name__} takes ")
    assert "\n" not in str(refused.value)


@pytest.mark.rule("D1")
def test_a_workflow_that_is_not_async_is_refused_and_a_decorator_that_made_it_so_is_named() -> None:
    with pytest.raises(TypeError, match=r"plain is none; write `async def`$"):
        workflow(plain)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a decorator below this one has made a plain function of it"):
        workflow(plainly(coroutine))
    with pytest.raises(TypeError, match=r"<lambda> is none; write `async def`$"):
        workflow(lambda x: x)


@pytest.mark.rule("D1")
def test_a_lambda_is_an_activity_under_a_name_and_not_without() -> None:
    with pytest.raises(TypeError, match=r"activity\(name=\.\.\.\)\(lambda \.\.\.\)"):
        activity(lambda x: x)
    named = activity(name="decorated.lambda")(lambda x: x + 1)

    @workflow(name="decorated.calls")
    async def calls(x: int) -> Any:
        return await named(x)

    assert run_sync(calls(1)) == 2


@pytest.mark.rule("D1")
def test_a_static_method_is_a_function_in_a_class() -> None:
    class Flows:
        @workflow(name="decorated.static.flow")
        @staticmethod
        async def outside(x: int) -> int:
            return await Flows.work(x)

        @staticmethod
        @workflow(name="decorated.static.inside")
        async def inside(x: int) -> int:
            return x

        @activity(name="decorated.static.work")
        @staticmethod
        def work(x: int) -> int:
            return x + 1

    assert isinstance(Flows.outside, Workflow)
    assert isinstance(Flows.inside, Workflow)
    assert isinstance(Flows.work, Activity)
    assert run_sync(Flows.outside(1)) == 2
    assert run_sync(Flows.inside(1)) == 1


def test_a_function_in_a_function_may_call_its_first_parameter_as_it_likes() -> None:
    @activity(name="decorated.local")
    def local(self: int) -> int:
        return self

    assert local.fn(3) == 3
