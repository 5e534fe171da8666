"""A finished run of a database, replayed: the code must still make the identical history."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from continuum import (
    Client,
    ConfigurationError,
    ContinuumError,
    ReplayDriftError,
    RunFailedError,
    RunNotFoundError,
    activity,
    side_effect,
    sleep,
    wait_signal,
    workflow,
)
from continuum.model.history import History
from continuum.testing import assert_histories_match, replay, run_sync, start_sync, verify_run
from continuum.testing.database import default_database, node_on


@activity(name="verify.double")
def double(number: int) -> int:
    return 2 * number


@workflow(name="verify.errand")
async def errand(number: int) -> list[object]:
    doubled = await asyncio.gather(double(number), double(number + 1))
    word = await wait_signal("word")
    await sleep(0.01)
    if word == "fail":
        raise ValueError(word)
    return [doubled, word]


grown = False


@workflow(name="verify.growing")
async def growing() -> int:
    await double(1)
    if grown:
        side_effect(lambda: 1)
    return 1 + grown


@pytest.fixture
def node(database_url: str, schema: str) -> Iterator[None]:
    with node_on(database_url, schema):
        yield


@workflow(name="verify.nested")
async def nested(level: int) -> int:
    """As deep as it gets: the last one is refused a child."""
    try:
        return await nested(level + 1)
    except ConfigurationError:
        return level


@pytest.mark.rule("C4", "R5")
@pytest.mark.usefixtures("node")
def test_a_run_at_the_limit_of_depth_replays_from_the_database_and_from_a_file(
    client: Client, tmp_path: Path
) -> None:
    assert client.start(nested(0)).result(30) == 10
    (deepest,) = [
        run.id
        for run in client.query().runs
        if len(client.history(run.id)) == 0 and run.workflow == nested.name
    ]
    assert verify_run(deepest, client=client).result == 10
    golden = tmp_path / "deepest.json"
    golden.write_text(client.history(deepest).to_json())
    assert replay(nested, golden).result == 10
    other = next(run for run in client.query().runs if run.id == client.get_run(deepest).parent_run_id)
    with pytest.raises(ReplayDriftError):
        replay(nested(9), History(client.history(deepest).origin, client.history(other.id).rows))


@pytest.mark.rule("R4", "R5")
@pytest.mark.usefixtures("node")
def test_a_finished_run_replays_to_the_identical_history(client: Client) -> None:
    run = client.start(errand(1))
    run.signal("word", "go")
    assert run.result(30) == [[2, 4], "go"]
    replayed = verify_run(run.id, client=client)
    assert (replayed.state, replayed.result) == ("completed", [[2, 4], "go"])


@pytest.mark.rule("R5")
@pytest.mark.usefixtures("node")
def test_a_failed_and_a_cancelled_run_are_verified_too(client: Client) -> None:
    failing, cancelled = client.start_many([errand(1), errand(1)])
    failing.signal("word", "fail")
    with pytest.raises(RunFailedError):
        failing.result(30)
    cancelled.cancel()
    assert verify_run(failing.id, client=client).state == "failed"
    assert verify_run(cancelled.id, client=client).state == "suspended"


@pytest.mark.rule("R5")
@pytest.mark.usefixtures("node")
def test_code_that_does_more_than_is_recorded_is_drift(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = client.start(growing())
    assert run.result(30) == 1
    verify_run(run.id, client=client)
    monkeypatch.setitem(globals(), "grown", True)
    with pytest.raises(ReplayDriftError, match=r"recorded: .*the run has completed with 1\n.*side effect #1"):
        verify_run(run.id, client=client)


def test_a_run_that_goes_on_has_no_whole_history(client: Client) -> None:
    run = client.start(errand(1))
    with pytest.raises(ContinuumError, match="wait for its result first"):
        verify_run(run.id, client=client)
    with pytest.raises(RunNotFoundError):
        verify_run("nobody", client=client)


@pytest.mark.usefixtures("node")
def test_memory_and_a_node_tell_the_same_story(client: Client) -> None:
    run = client.start(errand(1))
    run.signal("word", "go")
    value = run.result(30)
    memory = start_sync(errand(1), signals=[("word", "go")])
    memory.fire_timer()
    assert memory.result() == value == run_sync(errand(1), signals=[("word", "go")])
    types = [event.type for event in memory.history]
    assert sorted(types) == sorted(event.type for event in run.history() if event.type != "signal_awaited"), (
        "the order of two activities at once is open"
    )


@workflow(name="verify.plain")
async def plain() -> int:
    await sleep(0.01)
    return await double(4)


def test_the_default_client_is_asked_without_another(database_url: str) -> None:
    before = default_database(database_url)
    with before, pytest.raises(ContinuumError):
        verify_run("nobody")


@pytest.mark.usefixtures("node")
def test_a_history_in_memory_matches_that_of_a_node(client: Client) -> None:
    run = client.start(plain())
    run.result(30)
    memory = start_sync(plain())
    memory.fire_timer()
    assert_histories_match(memory.history, run.history())
