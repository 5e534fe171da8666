"""A name is refused where it is given if it has more bytes than an index can hold."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import continuum
from continuum import Signal, activity, patched, start_child, wait_signal, workflow
from continuum.client import requests
from continuum.core.definitions import Workflow
from continuum.core.options import NAME_BYTES_MAX
from continuum.errors import ConfigurationError, ContinuumError, PayloadError
from continuum.node import NodeConfig
from continuum.testing import run_sync, start_sync

LONGEST = "n" * NAME_BYTES_MAX
LONG = LONGEST + "n"
WIDE = "é" * (NAME_BYTES_MAX // 2 + 1)  # as many characters as may be, but too many bytes


async def flow(id: str) -> bool:
    return patched(id)


def step() -> None: ...


@workflow(name="limits.patches")
async def patches(id: str) -> bool:
    return patched(id)


@workflow(name="limits.child")
async def child() -> int:
    return 1


@workflow(name="limits.parent")
async def parent(id: str) -> int:
    return await (await start_child(child(), id))


@workflow(name="limits.waits")
async def waits(name: str) -> object:
    return await wait_signal(name)


GIVEN: dict[str, Callable[[str], object]] = {
    "workflow": lambda name: workflow(name=name)(flow),
    "logical": lambda name: workflow(logical=name)(flow),
    "activity": lambda name: activity(name=name)(step),
    "queue": lambda name: activity(name="limits.queue", queue=name)(step),
    "signal": Signal,
    "call": lambda name: continuum.call(name).take(),
    "signal of a client": requests.signal_name,
    "id": requests.run_id,
    "delivery": requests.delivery_id,
    "reason": requests.cancel_reason,
    "namespace": lambda name: requests.seeds_of([child()], None, name, None, None),
    "attribute": lambda name: requests.attributes_json({name: 1}),
    "queue of a node": lambda name: NodeConfig(("flows",), queues=(name,)),
    "signal of a test": lambda name: start_sync(waits("go")).inject_signal(name, 1),
}


@pytest.mark.parametrize("name", [LONG, WIDE, "n" * 100_000], ids=["long", "wide", "huge"])
@pytest.mark.parametrize("place", GIVEN)
def test_a_name_of_too_many_bytes_is_refused_where_it_is_given_in_one_line(place: str, name: str) -> None:
    with pytest.raises((ValueError, ConfigurationError, PayloadError), match="1,000") as refused:
        GIVEN[place](name)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300, "it does not repeat the name"


@pytest.mark.parametrize("place", GIVEN)
def test_a_name_of_as_many_bytes_as_an_index_holds_is_taken(place: str) -> None:
    GIVEN[place](LONGEST)


@pytest.mark.parametrize("run", [patches, parent, waits], ids=["patch", "child", "signal"])
@pytest.mark.parametrize("name", [LONG, WIDE], ids=["long", "wide"])
def test_a_name_of_too_many_bytes_fails_the_run_that_gives_it_in_words(
    run: Workflow[[str], object], name: str
) -> None:
    with pytest.raises(ContinuumError, match="1,000"):
        run_sync(run(name))


@pytest.mark.parametrize("name", [LONG, WIDE], ids=["long", "wide"])
def test_a_name_of_a_node_is_short(name: str) -> None:
    with pytest.raises(ConfigurationError, match="1 to 63"):
        NodeConfig(("flows",), name=name)
