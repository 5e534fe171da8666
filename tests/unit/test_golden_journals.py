"""Journals that earlier versions wrote: today's code replays every one of them. Also a proof for paranoid sessions."""

from __future__ import annotations

import pytest

from continuum.errors import ReplayDriftError
from continuum.model.history import History
from continuum.testing import assert_histories_match, replay
from tests.unit.golden_flows import FOLDER, GOLDENS, Golden, chain, record


@pytest.mark.rule("R4", "R5")
@pytest.mark.parametrize("golden", GOLDENS, ids=lambda golden: golden.file)
def test_a_golden_journal_replays_to_what_it_came_to(golden: Golden) -> None:
    replayed = replay(golden.workflow, FOLDER / f"{golden.file}.json")
    assert replayed.state == golden.state
    assert replayed.result == golden.value
    assert (replayed.error or {}).get("type") == golden.error


@pytest.mark.rule("R4")
@pytest.mark.parametrize("golden", GOLDENS, ids=lambda golden: golden.file)
def test_every_prefix_of_a_golden_journal_replays(golden: Golden) -> None:
    history = History.from_json((FOLDER / f"{golden.file}.json").read_bytes())
    for length in range(len(history)):
        replay(golden.workflow, History(history.origin, history.rows[:length]))


@pytest.mark.rule("R5")
@pytest.mark.parametrize("golden", GOLDENS, ids=lambda golden: golden.file)
def test_a_run_of_today_is_the_same_walk_as_the_golden_one(
    golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTINUUM_PARANOID", "1")
    if golden.file != "chance":
        assert_histories_match(record(golden), FOLDER / f"{golden.file}.json")


def test_there_is_a_golden_for_every_journal_and_a_journal_for_every_golden() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == {golden.file for golden in GOLDENS}
    assert len(GOLDENS) >= 20


@pytest.mark.rule("R3", "R5")
def test_a_golden_journal_is_drift_for_another_workflow() -> None:
    with pytest.raises(ReplayDriftError, match=r"recorded: .*wait for signal approved"):
        replay(chain(1, times=1), FOLDER / "early_signal.json")
