"""Loading the application: what is found, and the one line for what is wrong with it."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from continuum.errors import NodeError
from continuum.runtime.app import load_app

FLOWS = """
from continuum.core.definitions import activity, workflow

@activity
def charge(cents: int) -> int:
    return cents

@workflow
async def checkout(cents: int) -> int:
    return await charge(cents)
"""
numbers = itertools.count(1)
WriteModule = Callable[[str], str]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WriteModule:
    """A function that writes a module of this text into the current folder, and returns its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(text: str) -> str:
        name = f"loaded_app_{next(numbers)}"
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return write


def test_the_modules_of_the_current_folder_are_found_with_their_names(module: WriteModule) -> None:
    name = module(FLOWS)
    app = load_app([name])
    assert f"{name}.checkout" in app.workflows
    assert f"{name}.charge" in app.activities


def test_a_module_that_only_passes_definitions_on_will_do(module: WriteModule) -> None:
    flows = module(FLOWS)
    assert load_app([module(f"from {flows} import checkout")]).workflows


def test_a_package_whose_submodules_have_the_definitions_will_do(module: WriteModule, tmp_path: Path) -> None:
    name = module("").removesuffix(".py")
    (tmp_path / f"{name}.py").unlink()
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(f"import {name}.flows as _")
    (tmp_path / name / "flows.py").write_text(FLOWS)
    assert f"{name}.flows.checkout" in load_app([name]).workflows


def message_of(name: str) -> str:
    with pytest.raises(NodeError) as caught:
        load_app([name])
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_missing_module_is_named(module: WriteModule) -> None:
    assert message_of("no_such_app.flows").startswith("there is no module 'no_such_app'")


def test_a_path_is_no_module_name() -> None:
    assert message_of("shop/flows.py").startswith("'shop/flows.py' is no module name")


def test_a_module_without_definitions_is_refused(module: WriteModule) -> None:
    name = module("x = 1")
    assert message_of(name).startswith(f"{name} has no workflows and no activities")


def test_a_definition_that_belongs_to_no_module_is_passed_over(module: WriteModule) -> None:
    namespace: dict[str, object] = {"__name__": None}
    exec("from continuum import activity\n@activity(name='of.no.module')\ndef stray(): ...", namespace)
    name = module("x = 1")
    assert message_of(name).startswith(f"{name} has no workflows and no activities")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("x = 1\ny = x / 0\n", "ZeroDivisionError: division by zero ({file}:2)", id="raises"),
        pytest.param("x = 1\n\nif\n", "SyntaxError: invalid syntax", id="syntax"),
        pytest.param(
            "import no_such_library\n", "No module named 'no_such_library' ({file}:1)", id="missing"
        ),
        pytest.param("import sys\nsys.exit('no')\n", "SystemExit: no ({file}:2)", id="exits"),
        pytest.param("raise ValueError('two\\nlines')\n", "ValueError: two lines ({file}:1)", id="lines"),
    ],
)
def test_a_module_that_does_not_import_is_one_line_with_its_place(
    module: WriteModule, tmp_path: Path, text: str, reason: str
) -> None:
    name = module(text)
    message = message_of(name)
    assert message.startswith(f"{name} cannot be imported: ")
    assert reason.format(file=tmp_path / f"{name}.py") in message
