"""What runs or changes without being named: operators, texts, enums, dispatch, state of a module."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.snippets import findings_of

ABOVE = """
import collections, datetime, enum, functools, itertools, random, time, uuid, weakref
"""
CLASS = "class Money:\n    n = 1\n"
OPERATORS = {
    "add": "Money() + Money()",
    "radd": "1 + Money()",
    "iadd": "Money()",
    "lt": "sorted([Money(), Money()])",
    "eq": "Money() == 1",
    "neg": "-Money()",
    "getitem": "Money()[1]",
    "contains": "1 in Money()",
    "bool": "1 if Money() else 2",
    "len": "len(Money())",
    "index": "range(3)[Money()]",
    "getattr": "Money().anything",
    "setattr": "Money()",
    "reversed": "reversed(Money())",
    "str": "str(Money())",
    "repr": "repr(Money())",
    "format": "f'{Money():x}'",
}


@pytest.mark.rule("X6")
@pytest.mark.parametrize("name", OPERATORS)
def test_methods_that_run_without_being_named_are_scanned(tmp_path: Path, name: str) -> None:
    above = f"{ABOVE}{CLASS}    def __{name}__(self, *_): return time.time()"
    assert [f.rule for f in findings_of(tmp_path, f"return {OPERATORS[name]}", above)] == ["wall-clock"]


@pytest.mark.rule("X6")
def test_operators_of_an_argument_are_scanned_by_its_annotation(tmp_path: Path) -> None:
    above = f"{ABOVE}{CLASS}    def __add__(self, other): return time.time()"
    assert [f.rule for f in findings_of(tmp_path, "return x + x", above, "x: Money")] == ["wall-clock"]


ENUM = "class Op(enum.Enum):\n"
REFUSED = [
    ("wall-clock", "return Op.A.value()", f"{ENUM}    A = functools.partial(time.time)"),
    ("wall-clock", "return Op[x].value()", f"{ENUM}    A = functools.partial(time.time)"),
    ("wall-clock", "return Op(x).value()", f"{ENUM}    A = functools.partial(time.time)"),
    ("wall-clock", "return [o.at() for o in Op]", f"{ENUM}    A = 1\n    def at(self): return time.time()"),
    (
        "wall-clock",
        "return show(1)",
        "@functools.singledispatch\ndef show(a): return 1\n@show.register\ndef _(a: int): return time.time()",
    ),
    (
        "wall-clock",
        "return S().show(1)",
        (
            "class S:\n    @functools.singledispatchmethod\n    def show(self, a): return 1\n"
            "    @show.register\n    def _(self, a: int): return time.time()"
        ),
    ),
    (
        "wall-clock",
        "return K().x",
        "class D:\n    def __get__(self, a, b): return time.time()\nclass K:\n    x = D()",
    ),
    (
        "wall-clock",
        "return K()",
        "class M(type):\n    def __call__(cls): time.time()\nclass K(metaclass=M): ...",
    ),
    ("wall-clock", "return B()", "class A:\n    def __init__(self): time.time()\nclass B(A): ..."),
    (
        "wall-clock",
        "return B() + 1",
        "class A:\n    def __add__(self, o): return time.time()\nclass B(A): ...",
    ),
    ("global-state", "return next(COUNT)", "COUNT = itertools.count()"),
    ("global-state", "return [n for n, _ in zip(COUNT, x)]", "COUNT = itertools.count()"),
    ("global-state", "return COUNT.__next__()", "COUNT = itertools.count()"),
    ("global-state", "return NEXT()", "NEXT = itertools.count().__next__"),
    ("global-state", "return NEXT()", "NEXT = functools.partial(next, itertools.cycle([1, 2]))"),
    ("global-state", "return next(PARTS)", "PARTS = (n for n in range(9))"),
    ("global-state", "return next(PARTS)", "PARTS = iter([1, 2])"),
    ("collection", "return weakref.ref(x)()", ""),
]


@pytest.mark.rule("X4", "X6")
@pytest.mark.parametrize(("rule", "body", "above"), REFUSED, ids=[body for _, body, _ in REFUSED])
def test_what_is_hidden_in_a_class_or_a_table_is_refused(
    tmp_path: Path, rule: str, body: str, above: str
) -> None:
    found = findings_of(tmp_path, body, f"{ABOVE}{above}")
    assert {(f.rule, f.severity) for f in found} == {(rule, "error")}


DOUBTED = [
    ("global-state", "global N\nN += 1", "N = 0"),
    ("global-state", "return count()", "N = 0\ndef count():\n    global N\n    N += 1\n    return N"),
    ("global-state", "SEEN.append(1)", "SEEN = []"),
    ("global-state", "CACHE[1] = 2", "CACHE = {}"),
    ("global-state", "del CACHE[1]", "CACHE = {}"),
    ("global-state", "CACHE['a']['b'] += 1", "CACHE = {'a': {'b': 1}}"),
    ("global-state", "K.n += 1", "class K:\n    n = 0"),
    ("identity", "return repr(object())", ""),
    ("identity", "return str(K())", "class K: ..."),
    ("identity", "return f'{K()}'", "class K: ..."),
    ("identity", "return f'{helper}'", "def helper(): ..."),
    ("identity", "return '{}'.format(K())", "class K: ..."),
    ("set-order", "return str({1, 2})", ""),
    ("set-order", "return f'{set(x)}'", ""),
    ("environment", "return datetime.datetime.fromtimestamp(0)", ""),
    ("environment", "return datetime.date.fromtimestamp(0)", ""),
    ("environment", "return datetime.datetime(2024, 1, 1).astimezone()", ""),
]


@pytest.mark.rule("X5")
@pytest.mark.parametrize(("rule", "body", "above"), DOUBTED, ids=[body for _, body, _ in DOUBTED])
def test_what_may_differ_from_replay_to_replay_is_warned_of(
    tmp_path: Path, rule: str, body: str, above: str
) -> None:
    found = findings_of(tmp_path, body, f"{ABOVE}{above}")
    assert {(f.rule, f.severity) for f in found} == {(rule, "warning")}


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module that nobody trusts."""
    (tmp_path / "foreign_library.py").write_text("def f(*_): return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "import foreign_library as lib"
    sys.modules.pop("foreign_library", None)


HANDED = [
    "return list(map(lib.f, x))",
    "return list(filter(lib.f, x))",
    "return sorted(x, key=lib.f)",
    "return min(x, key=lib.f), max(x, key=lib.f)",
    "return functools.reduce(lib.f, x)",
    "return list(itertools.accumulate(x, lib.f))",
    "return list(itertools.accumulate(x, func=lib.f))",
    "return list(itertools.groupby(x, lib.f))",
    "return list(itertools.takewhile(lib.f, x))",
    "return collections.defaultdict(lib.f)['a']",
    "return functools.partial(lib.f)()",
    "parts = [1]\nparts.sort(key=lib.f)",
    "parts = [lib.f]\nreturn list(map(parts[0], x))",
]


@pytest.mark.rule("X5")
@pytest.mark.parametrize("body", HANDED)
def test_a_function_of_an_unknown_module_that_is_handed_on_is_warned_of(
    tmp_path: Path, foreign: str, body: str
) -> None:
    found = findings_of(tmp_path, body, f"{ABOVE}{foreign}")
    assert [(f.rule, f.severity) for f in found] == [("untrusted-call", "warning")]


ACCEPTED = [
    ("counter = itertools.count()\nreturn next(counter), [next(counter) for _ in range(3)]", ""),
    ("numbers = (n for n in range(3))\nreturn next(numbers)", ""),
    ("seen = []\nseen.append(1)\nseen[0] = 2\ndel seen[0]\nreturn seen", ""),
    ("table = TABLE.copy()\ntable['b'] = 1\nreturn table", "TABLE = {'a': 1}"),
    ("SEEN = []\nSEEN.append(1)", "SEEN = []"),
    ("money = Money(1)\nmoney.n += 1\nreturn f'{money}', str(money), money + money", "Money"),
    ("return {Money(1): 1}, Money(1) == Money(2)", "Money"),
    ("return K()", "class K:\n    def __repr__(self): return f'<{id(self)}>'"),
    (
        "return {K(): 1}",
        "class K:\n    def __hash__(self): return hash('a')\n    def __eq__(self, o): return True",
    ),
    ("return f'{x}', str(x), repr(x)", ""),
    ("return f'{len}', f'{Op.A}', str(Op), f'{ValueError(1)}'", f"{ENUM}    A = 1"),
    ("return sorted(x, key=len), max(x, key=str), list(map(int, x)), collections.defaultdict(list)", ""),
    ("return sorted(x, key=by), functools.reduce(both, x)", "def by(a): return a\ndef both(a, b): return a"),
    ("return [o.value for o in Op], Op['A'], Op(x)", f"{ENUM}    A = 1\n    def label(self): return 'a'"),
    ("return datetime.datetime.fromtimestamp(0, datetime.UTC), datetime.datetime.fromtimestamp(0, tz=x)", ""),
    ("return side_effect(lambda: next(COUNT))", "COUNT = itertools.count()"),
    ("return LIMITS['a'], len(LIMITS), LIMITS.get('b'), [*LIMITS]", "LIMITS = {'a': 1}"),
    (
        "return show(1)",
        "@functools.singledispatch\ndef show(a): return 1\n@show.register\ndef _(a: int): return 2",
    ),
    ("return K.limit, K().limit", "class K:\n    limit = 3"),
]
MONEY = """
class Money:
    def __init__(self, n): self.n = n
    def __add__(self, other): return Money(self.n + other.n)
    def __str__(self): return f"{self.n}"
    def __eq__(self, other): return self.n == other.n
    def __hash__(self): return hash(self.n)
"""


@pytest.mark.rule("X3", "X6")
@pytest.mark.parametrize(("body", "above"), ACCEPTED, ids=[body for body, _ in ACCEPTED])
def test_what_only_looks_like_it_is_accepted_without_a_word(tmp_path: Path, body: str, above: str) -> None:
    assert findings_of(tmp_path, body, ABOVE + (MONEY if above == "Money" else above)) == []
