"""The version of a workflow: what changes it, what does not, and that every interpreter agrees."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from continuum.core.determinism.pure import pure
from continuum.core.version import version_hash_of
from tests.unit.modules import modules_in

VERSION_FILE = Path(sys.modules[version_hash_of.__module__].__file__ or "")
Load = Callable[..., ModuleType]

BASE = """
def price(cents):
    return cents * 2

async def flow(order, rate=2):
    total = price(order) * rate
    for step in range(3):
        total += step
    return f"{total:>{rate}} of {order!r}"
"""


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Import a module with this source; each gets a file of its own."""
    with modules_in(tmp_path) as modules:
        yield modules.load


def hashed(load: Load, source: str) -> str:
    return version_hash_of(load(source).flow)


@pytest.mark.rule("D2")
@pytest.mark.parametrize(
    "same",
    [
        pytest.param("\n\n" + BASE, id="other line numbers"),
        pytest.param(BASE.replace("total += step", "total += step  # one more"), id="a comment"),
        pytest.param(
            BASE.replace("total = price(order) * rate", "'''Sells.'''\n    total = price(order) * rate"),
            id="a docstring",
        ),
        pytest.param(
            BASE.replace("return cents * 2", "'''Twice.'''\n    return cents * 2"), id="of a helper"
        ),
        pytest.param(
            BASE.replace("(order, rate=2)", "(order: 'Order', rate: int = 2) -> str"),
            id="annotations of the arguments",
        ),
        pytest.param(
            BASE.replace("    total = price", "    step: int\n    total: int = price"),
            id="annotations in the body",
        ),
        pytest.param(
            BASE.replace("price(order) * rate", "(\n    price(\n order,\n ) * rate\n)"), id="other layout"
        ),
        pytest.param(
            BASE.replace('f"{total:>{rate}} of {order!r}"', "(f'{total:>{rate}}'\n ' of ' f'{order!r}')"),
            id="a text in pieces",
        ),
        pytest.param(BASE.replace("async def flow", "async def flow_2024"), id="another name"),
        pytest.param(BASE.replace("async def", "UNUSED = 1\n\nasync def"), id="what it does not use"),
    ],
)
def test_what_the_code_does_not_do_differently_leaves_the_version(load: Load, same: str) -> None:
    other = load(same)
    flow = getattr(other, "flow", None) or other.flow_2024
    assert version_hash_of(flow) == hashed(load, BASE)


@pytest.mark.rule("D2")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("total += step", "total -= step", id="the body"),
        pytest.param("rate=2", "rate=3", id="a default"),
        pytest.param("cents * 2", "cents * 3", id="a helper of the module"),
        pytest.param(":>{rate}", ":<{rate}", id="a format"),
        pytest.param("!r", "!s", id="a conversion"),
        pytest.param(" of ", " for ", id="a text"),
        pytest.param("range(3)", "range(3.0)", id="another type of a number"),
        pytest.param("return f", "await rate\n    return f", id="one more statement"),
    ],
)
def test_a_changed_body_or_helper_is_another_version(load: Load, old: str, new: str) -> None:
    assert old in BASE
    assert hashed(load, BASE.replace(old, new)) != hashed(load, BASE)


@pytest.mark.rule("D2")
def test_a_helper_counts_however_far_it_is_and_however_it_is_wrapped(load: Load) -> None:
    source = """
        import functools

        def base(x):
            return x + 1

        def loud(fn):
            @functools.wraps(fn)
            def called(x):
                return fn(x)
            return called

        @functools.cache
        def middle(x):
            return base(x)

        @loud
        def outer(x):
            return middle(x)

        class Prices:
            @staticmethod
            def total(x):
                return partly(x)

        def given(x, y):
            return x * y

        partly = functools.partial(given, 3)

        async def flow(x):
            return list(map(outer, [Prices.total(x)]))
    """
    versions = {
        hashed(load, source),
        hashed(load, source.replace("x + 1", "x + 2")),
        hashed(load, source.replace("x * y", "x - y")),
        hashed(load, source.replace("return fn(x)", "return -fn(x)")),
        hashed(load, source.replace("return middle(x)", "return middle(x + x)")),
    }
    assert len(versions) == 5


@pytest.mark.rule("D2")
def test_helpers_that_call_each_other_come_to_an_end(load: Load) -> None:
    source = """
        def even(n):
            return n == 0 or odd(n - 1)

        def odd(n):
            return n != 0 and even(n - 1)

        async def flow(n):
            return even(n)
    """
    assert hashed(load, source) == hashed(load, source)
    assert hashed(load, source) != hashed(load, source.replace("n != 0", "n > 0"))


@pytest.mark.rule("D2")
def test_a_pure_helper_of_another_module_counts_and_another_one_does_not(load: Load) -> None:
    helper = "def total(x):\n    return x + {}\n"
    user = "import prices\nfrom prices import total\nasync def flow(x):\n    return {}(x)\n"

    def version(number: int, name: str, mark: Callable[[ModuleType], Any]) -> str:
        mark(load(helper.format(number), "prices"))
        return hashed(load, user.format(name))

    for name in ("total", "prices.total"):
        assert version(1, name, lambda _: None) == version(2, name, lambda _: None)
        assert version(1, name, lambda prices: pure(prices.total)) != version(
            2, name, lambda prices: pure(prices.total)
        )
        assert version(1, name, pure) != version(2, name, pure)


def test_pure_refuses_what_is_no_function_and_no_module() -> None:
    with pytest.raises(TypeError, match="a function or a module"):
        pure(3)  # type: ignore[type-var]


@pytest.mark.rule("D2")
def test_activities_and_other_workflows_are_no_helpers(load: Load) -> None:
    source = """
        from continuum import activity, workflow

        @activity(name="version.charge{0}")
        def charge(x):
            return x + 1

        @workflow(name="version.child{0}")
        async def child(x):
            return await charge(x)

        async def flow(x):
            return await charge(x), await child(x)
    """
    changed = source.replace("x + 1", "x + 2").replace("return await charge(x)\n", "return x\n")
    assert hashed(load, source.replace("{0}", "")) == hashed(load, changed.replace("{0}", "2"))


@pytest.mark.rule("D2")
def test_registered_names_do_not_enter_but_other_decorators_do(load: Load) -> None:
    source = """
        from continuum import workflow as define

        def twice(fn):
            return fn

        @define({})
        {}
        async def flow(x):
            return x
    """
    plain = load(source.format('name="version.a"', "")).flow
    older = load(source.format('logical="version.a"', "")).flow
    decorated = load(source.format('name="version.b"', "@twice")).flow
    assert plain.version_hash == older.version_hash == version_hash_of(plain.fn)
    assert decorated.version_hash != plain.version_hash


@pytest.mark.rule("D2")
def test_a_function_inside_another_has_the_version_of_its_text(load: Load) -> None:
    inner = 'async def flow(x):\n    text = """\nflush left"""\n    return text + str(x)\n'
    nested = (
        "def make():\n" + textwrap.indent(inner, "    ").replace("    flush", "flush") + "    return flow\n"
    )
    assert version_hash_of(load(nested).make()) == hashed(load, inner)


def test_a_function_without_source_has_a_version_too() -> None:
    namespace: dict[str, Any] = {}
    exec("async def flow(x):\n    return x + 1\nasync def other(x):\n    return x + 2", namespace)
    assert len(version_hash_of(namespace["flow"])) == 64


CORPUS = '''
import functools

__continuum_pure__ = True


def helper(a, /, b, *rest, c=1.5, **more):
    """Docs."""
    return [a, b, *rest, c, more, -1, 10**20, 1e300, 2j, True, None, ..., b"\\x00\\xff", "\\u00e9\\U0001f6d8\\n"]


def texts(x, w=3):
    a = f"{x}" "b" f"{x!r:>{w}}" f"{x=}" f"{x:}" f""
    return a + f'{x["k"]:{"<"}{w}}' + rf"\\d{x}" + ("a" 'b') + f"{{{x}}}"


def statements(x):
    global LATER
    LATER = 1
    with (open(x) as a, open(x) as b):
        pass
    match x:
        case {"a": [1, *others], **rest} if others:
            return rest
        case str() | None:
            pass
    try:
        x[1:2, ..., *x] = (y := 3)
    except* ValueError as errors:
        raise KeyError from errors
    else:
        del y
    finally:
        assert x, "no"
    while x:
        break
    else:
        x @= x
    return lambda q, *, r=2: (yield q)


class Outer:
    limit: int = 3
    field: "str"

    @staticmethod
    def method(x):
        async def inner():
            async for a in x:
                async with a:
                    yield {i: j async for i, j in await a}
        return {1, *x}, {**x, 1: 2}, [i for i in x if i], {i: j for i, j in inner()}


@functools.lru_cache
async def flow(x):
    return helper(x, 1), texts(x), statements(x), Outer.method(x)
'''
REACHING = '''
from __future__ import annotations
import abc, contextlib, dataclasses, enum, functools, sys, typing

LIMIT: int = 3
RATES = {"a": 0.1 + 0.2, "b": -1, None: ("x", b"y", 2j)}


class Kind(enum.Enum):
    A = enum.auto()
    B = "\u00e9"

    def price(self, *, of: Kind | None = None):
        return {Kind.A: LIMIT, self: f"{self!r:>{LIMIT}}"}[self]


@dataclasses.dataclass(frozen=True)
class Line:
    price: int = 3
    kinds: list[Kind] = dataclasses.field(default_factory=list)

    @property
    def total(self) -> int:
        return self.price * 2

    def __add__(self, other):
        return Line(self.price + other.price)


class Cart(typing.Generic[typing.TypeVar("T")], abc.ABC):
    """Docs."""
    lines: tuple[Line, ...]

    @functools.cached_property
    def total(self):
        return sum(line.total for line in self.lines)


class Refused(Exception):
    """No."""


@functools.singledispatch
def show(x):
    return "any"


@show.register
def _(x: int):
    return "int"


@show.register(Line)
def _(x):
    return "line"


TABLE = {}


def entry(name):
    def enter(fn):
        TABLE[name] = fn
        return fn
    return enter


@entry("one")
def one(x):
    return x + 1


@entry("two")
def two(x):
    return x + 2


class Scope:
    def __enter__(self):
        return two

    def __exit__(self, *rest):
        pass


def times(factor):
    def run(x):
        return factor * x
    return run


double = functools.partial(times(2), **{})
KINDS = frozenset({Line, Scope, Kind})
STEPS = [[("a", one)], {"b": lambda x: [y for y in x]}]


async def classes(x):
    with Scope() as scope:
        return Line() + Line(1), Kind.A.price(), scope


async def tables(x):
    return TABLE[x], STEPS, KINDS, double(x), show(x), getattr(sys.modules[__name__], "o" + x)


async def types(cart: Cart | None, kind: "Kind"):
    if kind is None:
        raise Refused(cart)
    return cart.total


async def constants(x=LIMIT):
    return RATES[x]
'''
PROGRAM = """
import importlib.util, json, sys
def load(name, file):
    spec = importlib.util.spec_from_file_location(name, file)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
version = load("version", sys.argv[1])
corpus = load("corpus", sys.argv[2])
print(json.dumps([version.version_hash_of(getattr(corpus, name)) for name in sys.argv[3:]]))
"""


def interpreters() -> dict[str, str]:
    """Every CPython from 3.11 on that can be found here, by its version: on the path, and beside this one."""
    prefix = Path(sys.base_prefix)
    names = [f"python3.{minor}" for minor in range(11, 20)]
    found = [shutil.which(name) for name in names]
    found += [str(path) for name in names for path in prefix.parent.glob(f"3.*/bin/{name}")]
    versions = {version_of(path): path for path in found if path is not None}
    versions.pop("", None)
    return versions | {version_of(sys.executable): sys.executable}


def version_of(python: str) -> str:
    """Return ``3.12``, or nothing for a command that starts no interpreter."""
    command = [python, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.stdout.strip() if done.returncode == 0 else ""


def hashes(python: str, corpus: Path, *names: str) -> list[str]:
    names = names or ("helper", "texts", "statements", "flow")
    command = [python, "-I", "-c", PROGRAM, str(VERSION_FILE), str(corpus), *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


def test_the_version_is_computed_by_the_standard_library_alone(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.py"
    corpus.write_text(CORPUS)
    found = hashes(sys.executable, corpus)
    assert len(set(found)) == 4
    assert found == hashes(sys.executable, corpus), "nothing of a process enters"


@pytest.mark.rule("D2")
def test_every_supported_python_computes_the_same_version(tmp_path: Path) -> None:
    pythons = interpreters()
    if len(pythons) < 2:
        pytest.skip(
            f"only Python {next(iter(pythons))} is installed here: there is nothing to compare it with"
        )
    corpus = tmp_path / "corpus.py"
    corpus.write_text(CORPUS)
    reaching = tmp_path / "reaching.py"
    reaching.write_text(REACHING)
    answers = {
        version: hashes(python, corpus) + hashes(python, reaching, *REACHES)
        for version, python in pythons.items()
    }
    assert len({tuple(answer) for answer in answers.values()}) == 1, answers


GOLDEN = [
    "e1d4710892b3716276247b33c5450c14700b2975ae32c2b57262531011456d63",
    "d9a041305d1d7ba8fb76abe402a021687551eb3526320efb1db073e1ff8375e2",
    "fa1aafcfbd542605f15e2e55d1cad52a94b89312ca1286ac5f94ed82f179f374",
    "f9538c5a757ef9037c40ceb8e2332186f7d5e50cbe255bd2bb6210da723a5ab8",
]
REACHES = {
    "classes": "e2913532e080eba63f5bcf0808f6f7b7ca92ce7a2b57d682a380b5692dcd478e",
    "tables": "1c0a9d5e6fe48d42016ec702826302c5c39577a5a86ce45b40fdd27ba5261e3e",
    "types": "5c5f50ad1716c47bfd38520efa34fe6e7e457d52de2407d0f5f175c5337b9b1d",
    "constants": "ed1cce267c3f52dd239d66253dca7c64c1584b224ad013fbbba4c022c627d36f",
}


@pytest.mark.rule("D2")
def test_the_corpus_has_the_version_that_it_always_had(tmp_path: Path) -> None:
    """Runs are pinned to these numbers: code that computes others loses every run that is alive."""
    corpus = tmp_path / "corpus.py"
    corpus.write_text(CORPUS)
    assert hashes(sys.executable, corpus) == GOLDEN


@pytest.mark.rule("D2")
def test_what_reaches_further_has_the_version_that_it_always_had(tmp_path: Path) -> None:
    corpus = tmp_path / "reaching.py"
    corpus.write_text(REACHING)
    assert dict(zip(REACHES, hashes(sys.executable, corpus, *REACHES), strict=True)) == REACHES
