"""The code of the guide to activities runs as it stands there."""

from __future__ import annotations

import importlib
import re
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from uuid import uuid4

import pytest

from continuum.memory import MemoryStore
from continuum.model import payload
from continuum.model.run import RunSeed
from continuum.runtime.inprocess import InProcessNode, NoticeQueue
from tests.integration.servers import wait_until

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The Python blocks of docs/activities.md, as one module."""
    blocks = re.findall(
        r"^```python\n(.*?)^```", (DOCS / "activities.md").read_text(), re.DOTALL | re.MULTILINE
    )
    (tmp_path / "activities_guide.py").write_text("\n\n".join(blocks))
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("activities_guide")
    del sys.modules["activities_guide"]


@pytest.mark.rule("A3", "A4", "A10", "A11", "A15")
def test_the_guide_to_activities_does_what_it_says(guide: ModuleType) -> None:
    store, notices = MemoryStore(time.time), NoticeQueue()
    store.subscribe(notices.put)
    runs = {
        name: RunSeed(id=uuid4(), workflow=getattr(guide, name).name, args=payload.encode([args, {}]))
        for name, args in {
            "read_twice": ["x"],
            "careful": [],
            "pay_twice": ["o1"],
            "copy": [],
            "at_most_a_moment": [],
        }.items()
    }
    with InProcessNode(lambda: nullcontext(store), listener=notices):
        store.catalog.insert(list(runs.values()))
        ids = [seed.id for seed in runs.values()]
        wait_until(
            lambda: all(e.state == "completed" for e in store.catalog.endings(ids).values()), "all ended"
        )
    results = {
        name: payload.decode(store.catalog.endings([seed.id])[seed.id].result or b"")
        for name, seed in runs.items()
    }
    assert results == {
        "read_twice": ["contents of x", "contents of x"],
        "careful": "PermissionError after 1 attempt",
        "pay_twice": True,
        "copy": [5, 6, 7],
        "at_most_a_moment": "a substitute.png",
    }
