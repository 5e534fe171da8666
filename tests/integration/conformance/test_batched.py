"""The journal's tests once more, with each step written by the statements of a batch: most of them commit one alone."""

from __future__ import annotations

import pytest

from continuum.postgres import request
from tests.integration.conformance.scene import Store
from tests.integration.conformance.test_journal import *  # noqa: F403 - they are the tests


@pytest.fixture
def store(postgres: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(request, "fits_one", lambda step: False)
    return postgres
