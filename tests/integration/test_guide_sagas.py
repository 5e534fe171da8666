"""The guide of sagas: its code runs, and its journal is what a run of it leaves."""

from __future__ import annotations

import importlib
import re
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest

from continuum.core.definitions import registry
from continuum.core.failure import decode_failure
from continuum.memory import MemoryStore
from continuum.model import payload
from continuum.model.events import EVENT_TYPES, ActivityScheduled, CompensationScheduled, EventRow, from_row
from continuum.model.run import LIVE_STATES, RunSeed
from continuum.ports.catalog import RunRow
from continuum.runtime.inprocess import InProcessNode, NoticeQueue
from tests.integration.servers import wait_until

GUIDE = (Path(__file__).parents[2] / "docs" / "sagas.md").read_text()
MODULES = ("trips", "weekends")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)


class Guide:
    """The guide's blocks as modules that know each other, and a node that runs them."""

    def __init__(self, modules: dict[str, ModuleType], store: MemoryStore) -> None:
        self.modules, self._catalog = modules, store.catalog

    def live(self, module: str, name: str, *args: object) -> tuple[RunRow, list[EventRow]]:
        """Run a workflow to its end."""
        run, target = uuid4(), getattr(self.modules[module], name)
        self._catalog.insert([RunSeed(id=run, workflow=target.name, args=payload.encode([list(args), {}]))])
        wait_until(lambda: self._catalog.endings([run])[run].state not in LIVE_STATES, "the run has ended")
        row = self._catalog.get(run)
        assert row is not None
        return row, list(self._catalog.events(run))


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guide]:
    folder = tmp_path_factory.mktemp("guide")
    for name, block in zip(MODULES, blocks("python"), strict=True):
        (folder / f"{name}.py").write_text(block)
    store, notices = MemoryStore(time.time), NoticeQueue()
    store.subscribe(notices.put)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        modules = {name: importlib.import_module(name) for name in MODULES}
        with InProcessNode(lambda: nullcontext(store), listener=notices):
            yield Guide(modules, store)
    for names in (registry.workflows, registry.activities):
        for name in [name for name in names if name.partition(".")[0] in MODULES]:
            del names[name]
    for name in MODULES:
        del sys.modules[name]


def undone(events: list[EventRow]) -> list[object]:
    bodies = [from_row(row) for row in events]
    return [first_of(body.args) for body in bodies if isinstance(body, CompensationScheduled)]


def first_of(args: bytes) -> object:
    decoded: Any = payload.decode(args)
    return decoded[0][0]


def line_of(row: EventRow) -> str:
    body = from_row(row)
    kind = EVENT_TYPES[row.kind]
    if isinstance(body, ActivityScheduled | CompensationScheduled):
        return f"{kind:<24}{body.activity.rpartition('.')[2]} {first_of(body.args)}"
    return kind


def test_the_trip_of_the_guide_leaves_the_journal_of_the_guide(guide: Guide) -> None:
    row, events = guide.live("trips", "trip", "Atlantis")
    assert "\n".join(map(line_of, events)) + "\n" == blocks("text")[0]
    assert (row.state, decode_failure(row.error or b"").message) == ("failed", "no flight to Atlantis")
    row, events = guide.live("trips", "trip", "Rome")
    assert (row.state, undone(events)) == ("completed", [])


@pytest.mark.parametrize(
    ("city", "rain", "result", "expected"),
    [
        ("Rome", False, "away", []),
        ("Rome", True, "away", ["museum in Rome"]),
        ("Atlantis", False, "at home", ["hotel in Atlantis", "museum in Atlantis"]),
        ("Atlantis", True, "at home", ["museum in Atlantis", "hotel in Atlantis"]),
    ],
)
def test_the_weekend_of_the_guide_undoes_what_it_says(
    guide: Guide, city: str, rain: bool, result: str, expected: list[str]
) -> None:
    row, events = guide.live("weekends", "weekend", city, rain)
    assert payload.decode(row.result or b"") == result
    assert undone(events) == expected
