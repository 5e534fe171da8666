"""The names of workflows in files that are run as programs: as every node imports them, or refused at the start."""

from __future__ import annotations

import cProfile
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import continuum
from continuum.client.requests import seeds_of
from continuum.core import definitions
from continuum.core.definitions import Registry, Workflow
from continuum.errors import ConfigurationError

PROGRAM = """

from continuum import workflow

@workflow
async def flow(n: int) -> int:
    return n

def show():
    print("NAME", flow.name)

if __name__ == "__main__" and {shows}:
    import multiprocessing
    process = multiprocessing.get_context("spawn").Process(target=show)
    process.start()
    process.join(30)
"""


@pytest.fixture
def place(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a script, packages with one, and a package that is a program."""
    inner = open_folder / "pack" / "inner"
    inner.mkdir(parents=True)
    for folder in (open_folder / "pack", inner):
        (folder / "__init__.py").touch()
    (open_folder / "plain").mkdir()
    for path in (
        "prog.py",
        "with-dash.py",
        "tool",
        "pack/inner/prog.py",
        "pack/__main__.py",
        "plain/__main__.py",
    ):
        (open_folder / path).write_text(PROGRAM.format(shows=False))
    monkeypatch.setattr(definitions, "registry", Registry())
    monkeypatch.chdir(open_folder)
    monkeypatch.syspath_prepend(str(open_folder))
    before = set(sys.modules)
    yield open_folder
    for module in set(sys.modules) - before:
        del sys.modules[module]  # the next test's are in another folder


def run(file: str, name: str) -> Workflow[..., Any]:
    flow = runpy.run_path(file, run_name=name)["flow"]
    assert isinstance(flow, Workflow)
    return flow


FILES = [
    ("prog.py", "prog.flow"),
    ("pack/inner/prog.py", "pack.inner.prog.flow"),
    ("pack/__main__.py", "pack.__main__.flow"),
]


@pytest.mark.parametrize(
    ("name", "file", "expected"),
    [(name, *file) for name in ("__main__", "__mp_main__", "<run_path>") for file in FILES]
    + [("__main__", "pack", "pack.__main__.flow")],
)
def test_a_program_has_the_name_by_which_it_is_imported(
    place: Path, name: str, file: str, expected: str
) -> None:
    flow = run(file, name)
    assert (flow.name, flow.unreachable) == (expected, None)


@pytest.mark.parametrize("module", ["prog", "pack.inner.prog", "pack"])
def test_a_module_that_is_run_has_its_own_name(place: Path, module: str) -> None:
    flow = runpy.run_module(module, run_name="__main__")["flow"]
    assert flow.name == {"pack": "pack.__main__"}.get(module, module) + ".flow"


def test_a_profiler_gives_its_name_to_nothing(place: Path) -> None:
    code = compile(Path("prog.py").read_text(), "prog.py", "exec")
    names: dict[str, Any] = {"__name__": "__main__", "__file__": "prog.py"}
    cProfile.Profile().runctx(code, names, None)  # type: ignore[arg-type]
    assert names["flow"].name == "prog.flow"


def test_a_process_of_multiprocessing_and_its_parent_agree(place: Path) -> None:
    Path("both.py").write_text(PROGRAM.format(shows=True))
    said = subprocess.run([sys.executable, "both.py"], capture_output=True, text=True, timeout=60)
    assert said.stdout.split() == ["NAME", "both.flow"], said.stderr


def test_a_decorator_of_another_module_does_not_give_its_name(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("library.py").write_text(
        "from functools import wraps\n"
        "def passed(fn):\n    @wraps(fn)\n    async def call(*a, **k):\n        return await fn()\n    return call\n"
    )
    Path("deco.py").write_text(
        PROGRAM.format(shows=False).replace("@workflow", "from library import passed\n@workflow\n@passed")
    )
    assert run("deco.py", "__main__").name == "deco.flow"


def typed_in() -> Workflow[..., Any]:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(PROGRAM.format(shows=False), "<stdin>", "exec"), names)
    flow = names["flow"]
    assert isinstance(flow, Workflow)
    return flow


@pytest.mark.parametrize(
    "make",
    [
        typed_in,
        lambda: run("with-dash.py", "__main__"),
        lambda: run("tool", "__main__"),
        lambda: run("plain", "__main__"),
    ],
    ids=["typed in", "no identifier", "no suffix", "a folder that is no package"],
)
def test_what_no_node_can_import_is_refused_at_the_start(
    place: Path, make: Callable[[], Workflow[..., Any]]
) -> None:
    flow = make()
    with pytest.raises(ConfigurationError, match=r"no node can import.*; nothing was started. Put it into a"):
        seeds_of([flow(1)], None, "default", None, None)


def test_what_has_a_name_of_its_own_may_be_anywhere(place: Path) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    named = PROGRAM.format(shows=False).replace("@workflow", '@workflow(name="known.to.nodes")')
    exec(compile(named, "<stdin>", "exec"), names)
    (seed,) = seeds_of([names["flow"](1)], None, "default", None, None)
    assert seed.workflow == "known.to.nodes"


def test_a_node_is_given_the_program_by_the_name_that_it_imports(
    monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    program = ModuleType("__main__")
    program.__file__ = str(place / "prog.py")
    monkeypatch.setitem(sys.modules, "__main__", program)
    assert continuum.Node("__main__")._config.modules == ("prog",)
    program.__file__ = "<stdin>"
    with pytest.raises(ConfigurationError, match="a program without a file"):
        continuum.Node("__main__")


def test_a_program_that_imports_itself_is_the_same_however_its_path_was_written(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = place / "folder"
    folder.mkdir()
    (place / "link").symlink_to(place)
    text = "from continuum import activity\n@activity\ndef once() -> None: ...\nimport spelled"
    (place / "spelled.py").write_text(text)
    monkeypatch.syspath_prepend(str(place))
    for spelled in (folder / ".." / "spelled.py", place / "link" / "spelled.py"):
        sys.modules.pop("spelled", None)
        exec(compile(text, str(spelled), "exec"), {"__name__": "spelled", "__file__": str(spelled)})
    (place / "other.py").write_text(text.rpartition("\n")[0])
    with pytest.raises(ConfigurationError, match="two activity functions are named"):
        exec(
            compile((place / "other.py").read_text(), str(place / "other.py"), "exec"),
            {"__name__": "spelled"},
        )
