"""The scan: when it happens, what it tells, how far it follows, and what it only warns of."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

import continuum
from continuum import DeterminismError, DeterminismWarning
from continuum.core.definitions import registry
from continuum.core.determinism import settings
from continuum.core.determinism.scan import settle_all, waiting
from continuum.errors import ConfigurationError, NodeError
from continuum.runtime.app import load_app
from tests.unit.snippets import findings_of, load, workflow_text

LIBRARY = """
def compute(x): return x
def other(x): return x
"""


@pytest.fixture
def library(tmp_path: Path) -> Iterator[str]:
    """The name of a module that nobody has marked or trusted."""
    module = load(tmp_path, LIBRARY)
    module.__name__ = module.compute.__module__
    sys.modules[module.__name__] = module
    yield module.__name__
    del sys.modules[module.__name__]


@pytest.fixture
def trusting() -> Iterator[None]:
    """The settings of the scan are as before when the test is over."""
    yield
    settings.trust((), "warn")


def rules_of(folder: Path, body: str, above: str = "", parameters: str = "x") -> list[str]:
    return [finding.rule for finding in findings_of(folder, body, above, parameters)]


@pytest.mark.rule("X1")
def test_all_findings_of_a_function_come_in_one_error_with_place_rule_and_remedy(tmp_path: Path) -> None:
    text = workflow_text("time.time()\nawait sleep(1)\nprint(x)\nopen('f')", "import time")
    with pytest.raises(DeterminismError) as caught:
        load(tmp_path, text)
    error = caught.value
    first = text.splitlines().index("    time.time()") + 1
    assert [(f.rule, f.line) for f in error.findings] == [
        ("wall-clock", first),
        ("output", first + 2),
        ("io", first + 3),
    ]
    assert (error.file, error.line, error.rule) == (error.findings[0].file, first, "wall-clock")
    assert error.remedy is not None and "continuum.now()" in error.remedy
    assert Path(str(error.file)).parent == tmp_path and f"{error.file}:{first}: time.time" in str(error)


@pytest.mark.rule("X1")
def test_a_refused_workflow_is_not_registered(tmp_path: Path) -> None:
    with pytest.raises(DeterminismError):
        load(
            tmp_path, "import continuum\n@continuum.workflow(name='t.refused')\nasync def flow(): print(1)\n"
        )
    assert "t.refused" not in registry.workflows


@pytest.mark.rule("X1")
def test_an_error_of_the_scan_survives_a_copy() -> None:
    import copy

    error = DeterminismError([continuum.Finding("f.py", 3, "io", "open", "use an activity", "flow")])
    assert str(copy.copy(error)) == str(error) and copy.copy(error).findings == error.findings


@pytest.mark.rule("X6")
def test_helpers_of_the_module_are_scanned_through_each_other(tmp_path: Path) -> None:
    above = "import time\ndef outer(): return inner()\ndef inner(): return time.time()"
    assert rules_of(tmp_path, "return outer()", above) == ["wall-clock"]


@pytest.mark.rule("X6")
def test_a_helper_that_no_workflow_uses_may_do_anything(tmp_path: Path) -> None:
    assert rules_of(tmp_path, "return 1", "import time\ndef clock(): return time.time()") == []


@pytest.mark.rule("X6")
def test_a_helper_further_down_is_scanned_at_the_first_call(tmp_path: Path) -> None:
    text = workflow_text("return later(x)") + "import time\ndef later(x): return time.time()\n"
    module = load(tmp_path, text)
    for _ in range(2):
        module.__spec__ = None
        with pytest.raises(DeterminismError, match="wall-clock"):
            module.flow(1)
    with pytest.raises(DeterminismError, match="wall-clock"):
        settle_all()
    load(tmp_path, text.replace("time.time()", "x"))
    waiting.clear()


@pytest.mark.rule("X6")
def test_a_helper_further_down_is_scanned_when_the_application_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = workflow_text("return later(x)") + "import time\ndef later(x): return time.time()\n"
    (tmp_path / "late_application.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        NodeError, match=r"late_application.flow cannot be replayed.*time.time \(wall-clock\)"
    ):
        load_app(["late_application"])
    waiting.clear()


@pytest.mark.rule("X6")
def test_a_good_helper_further_down_is_no_reason_to_wait_after_the_first_call(tmp_path: Path) -> None:
    module = load(tmp_path, workflow_text("return later(x)") + "def later(x): return x\n")
    assert module.flow.name in waiting
    module.flow(1).take()
    assert module.flow.name not in waiting


@pytest.mark.rule("X6")
def test_pure_functions_are_scanned_where_they_are_marked(tmp_path: Path) -> None:
    with pytest.raises(DeterminismError, match=r"time\.time"):
        load(tmp_path, "import time\nfrom continuum import pure\n@pure\ndef clock(): return time.time()\n")


@pytest.mark.rule("X6")
def test_a_pure_module_is_scanned_as_a_whole(tmp_path: Path) -> None:
    module = load(tmp_path, "import time\nclass Clock:\n    def now(self): return time.time()\n")
    with pytest.raises(DeterminismError, match=r"time\.time"):
        continuum.pure(module)


@pytest.mark.rule("X6")
def test_pure_takes_functions_and_modules_only() -> None:
    with pytest.raises(TypeError, match="@pure takes a function or a module"):
        continuum.pure(3)  # type: ignore[type-var]


@pytest.mark.rule("X5")
def test_calls_of_unknown_modules_are_warned_of_once_per_callee(tmp_path: Path, library: str) -> None:
    above = f"import {library} as lib"
    found = findings_of(tmp_path, "lib.compute(x)\nlib.compute(x)\nlib.other(x)", above)
    assert [(f.rule, f.severity) for f in found] == [("untrusted-call", "warning")] * 2
    with pytest.warns(DeterminismWarning, match=f"{library}.compute"):
        load(tmp_path, workflow_text("lib.compute(x)", above))


@pytest.mark.rule("X5")
def test_trusted_and_pure_modules_are_called_without_a_warning(
    tmp_path: Path, library: str, trusting: None
) -> None:
    above = f"import {library} as lib"
    settings.trust([library])
    assert rules_of(tmp_path, "lib.compute(x)", above) == []
    settings.trust([])
    continuum.pure(sys.modules[library].compute)
    assert rules_of(tmp_path, "lib.compute(x)\nlib.other(x)", above) == ["untrusted-call"]


@pytest.mark.rule("X5")
def test_unknown_calls_are_errors_if_that_is_asked_for(tmp_path: Path, library: str, trusting: None) -> None:
    settings.trust(untrusted_calls="error")
    with pytest.raises(DeterminismError, match="untrusted-call"):
        load(tmp_path, workflow_text(f"from {library} import compute\ncompute(x)"))


@pytest.mark.parametrize("choice", [{"modules": "shop"}, {"untrusted_calls": "maybe"}])
def test_settings_that_make_no_sense_are_refused(choice: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        settings.trust(**choice)  # type: ignore[arg-type]


@pytest.mark.rule("X5")
@pytest.mark.parametrize(
    ("rule", "body", "above", "parameters"),
    [
        ("input-call", "x.handler()", "", "x"),
        ("input-call", "x()", "", "x"),
        ("input-call", "x[0]()", "", "x: list"),
        (
            "input-call",
            "x.run()",
            "import collections.abc\nclass X:\n    run: collections.abc.Callable[[], int]",
            "x: X",
        ),
        ("bare-except", "try: await sleep(1)\nexcept: pass", "", ""),
        ("bare-except", "try: await sleep(1)\nexcept BaseException: return 1", "", ""),
        ("finally-return", "try: await sleep(1)\nfinally: return 1", "", ""),
    ],
)
def test_what_may_go_wrong_is_warned_of(
    tmp_path: Path, rule: str, body: str, above: str, parameters: str
) -> None:
    found = findings_of(tmp_path, body, above, parameters)
    assert [(f.rule, f.severity) for f in found] == [(rule, "warning")]


@pytest.mark.rule("X5")
def test_activities_without_compensation_are_named_once_beside_compensate_all(tmp_path: Path) -> None:
    undo = types.FunctionType((lambda: None).__code__, {}, "compensate_all")
    undo.__module__ = "continuum.core.compensation"
    sys.modules["undoing"] = types.ModuleType("undoing")
    vars(sys.modules["undoing"])["compensate_all"] = undo
    above = """
from undoing import compensate_all
@activity
def charge(): ...
@activity
def ship(): ...
@activity
def refund(): ...
"""
    body = "await charge().options(compensate=refund())\nawait ship()\nawait ship()\nawait compensate_all()"
    try:
        found = findings_of(tmp_path, body, above)
        assert [(f.rule, f.what.rpartition(": ")[2]) for f in found] == [("no-compensation", "ship")]
        assert rules_of(tmp_path, body.replace("await ship()\n", ""), above) == []
    finally:
        del sys.modules["undoing"]


def test_a_function_without_source_is_warned_of() -> None:
    space: dict[str, object] = {}
    with pytest.warns(DeterminismWarning, match="whose source cannot be read"):
        exec("import continuum\n@continuum.workflow(name='t.nosource')\nasync def flow(): ...\n", space)


def test_a_module_that_is_written_anew_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "again.py"
    rules = []
    for text in ("return 1", "print('something longer')"):
        path.write_text(workflow_text(text))
        with settings.collecting() as findings:
            exec(compile(path.read_text(), path, "exec"), {"__name__": "again"})
        rules.append([finding.rule for finding in findings])
    assert rules == [[], ["output"]]
