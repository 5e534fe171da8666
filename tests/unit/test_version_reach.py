"""What of its module a workflow's version sees beside functions that it names: a change of each is another version."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from continuum.core.determinism.pure import pure
from continuum.core.version import version_hash_of
from tests.unit.modules import Modules, modules_in

HEAD = """
from __future__ import annotations
import abc, contextlib, dataclasses, enum, functools, operator, sys, typing
from continuum import Retry, Signal, activity, workflow
"""

# A module, and a piece of it with what is written there instead.
REACHED: dict[str, tuple[str, str, str]] = {
    "a method of a class that the body constructs": (
        """
        class Cart:
            def total(self):
                return 1
        async def flow(x):
            return Cart().total()
        """,
        "return 1",
        "return 2",
    ),
    "a constructor": (
        """
        class Cart:
            def __init__(self, x):
                self.x = x + 1
        async def flow(x):
            return Cart(x).x
        """,
        "x + 1",
        "x + 2",
    ),
    "what runs after a dataclass's constructor": (
        """
        @dataclasses.dataclass
        class Cart:
            x: int
            def __post_init__(self):
                self.x += 1
        async def flow(x):
            return Cart(x).x
        """,
        "+= 1",
        "+= 2",
    ),
    "a default of a field": (
        """
        @dataclasses.dataclass
        class Cart:
            rate: int = 2
        async def flow(x):
            return Cart().rate * x
        """,
        "= 2",
        "= 3",
    ),
    "a property": (
        """
        class Cart:
            @property
            def total(self):
                return 1
        async def flow(x):
            return Cart().total
        """,
        "return 1",
        "return 2",
    ),
    "an operator": (
        """
        class Money(int):
            def __add__(self, other):
                return Money(int(self) + int(other))
        async def flow(x):
            return Money(x) + Money(1)
        """,
        "int(self) + int(other)",
        "int(self) - int(other)",
    ),
    "a context manager": (
        """
        class Scope:
            def __enter__(self):
                return 1
            def __exit__(self, *rest):
                return None
        async def flow(x):
            with Scope() as found:
                return found
        """,
        "return 1",
        "return 2",
    ),
    "a context manager that is a function": (
        """
        @contextlib.contextmanager
        def scope():
            yield 1
        async def flow(x):
            with scope() as found:
                return found
        """,
        "yield 1",
        "yield 2",
    ),
    "a method of a base class": (
        """
        class Base:
            def total(self):
                return 1
        class Middle(Base):
            pass
        class Cart(Middle):
            pass
        async def flow(x):
            return Cart().total()
        """,
        "return 1",
        "return 2",
    ),
    "the order of base classes": (
        """
        class A:
            v = 1
        class B:
            v = 2
        class Cart(A, B):
            pass
        async def flow(x):
            return Cart().v
        """,
        "Cart(A, B)",
        "Cart(B, A)",
    ),
    "a class method, and what it calls": (
        """
        class Cart:
            @classmethod
            def make(cls):
                return cls()
            def total(self):
                return helper()
        def helper():
            return 1
        async def flow(x):
            return Cart.make().total()
        """,
        "return 1",
        "return 2",
    ),
    "a method of an argument": (
        """
        class Cart:
            def total(self):
                return 1
        async def flow(cart: Cart):
            return cart.total()
        """,
        "return 1",
        "return 2",
    ),
    "a method of something inside of an argument": (
        """
        @dataclasses.dataclass
        class Line:
            price: int
            def total(self):
                return self.price * 1
        @dataclasses.dataclass
        class Cart:
            lines: list[Line]
        async def flow(carts: dict[str, Cart | None]):
            return [line.total() for cart in carts.values() for line in cart.lines]
        """,
        "self.price * 1",
        "self.price * 2",
    ),
    "a method of an activity's result": (
        """
        class Cart:
            def total(self):
                return 1
        @activity
        def load() -> Cart: ...
        async def flow(x):
            return (await load()).total()
        """,
        "return 1",
        "return 2",
    ),
    "a method of a signal's value": (
        """
        class Box:
            def size(self):
                return 1
        packed = Signal("packed", Box)
        async def flow(x):
            return (await packed.wait()).size()
        """,
        "return 1",
        "return 2",
    ),
    "a descriptor": (
        """
        class Doubled:
            def __get__(self, obj, owner):
                return 2
        class Cart:
            total = Doubled()
        async def flow(x):
            return Cart().total
        """,
        "return 2",
        "return 3",
    ),
    "a metaclass": (
        """
        class Meta(type):
            def __call__(cls, *args):
                return 1
        class Cart(metaclass=Meta):
            pass
        async def flow(x):
            return Cart()
        """,
        "return 1",
        "return 2",
    ),
    "a decorator of a class": (
        """
        def rich(cls):
            cls.total = 1
            return cls
        @rich
        class Cart:
            pass
        async def flow(x):
            return Cart().total
        """,
        "= 1",
        "= 2",
    ),
    "a method that is set afterwards": (
        """
        class Cart:
            pass
        Cart.total = lambda self: 1
        async def flow(x):
            return Cart().total()
        """,
        "self: 1",
        "self: 2",
    ),
    "a table of functions": (
        """
        def one(x):
            return x + 1
        TABLE = {"one": one}
        async def flow(x):
            return TABLE[x](1)
        """,
        "x + 1",
        "x + 2",
    ),
    "which function stands in a table": (
        """
        def one(x):
            return 1
        def two(x):
            return 2
        TABLE = {"one": one}
        async def flow(x):
            return TABLE[x](1)
        """,
        '"one": one',
        '"one": two',
    ),
    "a list of functions in a list": (
        """
        def one(x):
            return x + 1
        STEPS = [[("a", one)], [print]]
        async def flow(x):
            for name, step in STEPS[0]:
                x = step(x)
            return x
        """,
        "x + 1",
        "x + 2",
    ),
    "a lambda in a table": (
        """
        TABLE = {
            "one": lambda x: x + 1,
        }
        async def flow(x):
            return TABLE["one"](x)
        """,
        "x + 1",
        "x + 2",
    ),
    "a table that is filled by a decorator": (
        """
        TABLE = {}
        def entry(name):
            def enter(fn):
                TABLE[name] = fn
                return fn
            return enter
        @entry("one")
        def one(x):
            return x + 1
        async def flow(x):
            return TABLE["one"](x)
        """,
        "x + 1",
        "x + 2",
    ),
    "a table that is changed afterwards": (
        """
        TABLE = {"one": 1}
        TABLE.update(two=2)
        for each in range(2):
            TABLE[each] = each
        async def flow(x):
            return TABLE[x]
        """,
        "two=2",
        "two=3",
    ),
    "a set of classes": (
        """
        class A:
            def __call__(self):
                return 1
        KINDS = frozenset({A})
        async def flow(x):
            return [kind()() for kind in KINDS]
        """,
        "return 1",
        "return 2",
    ),
    "an object of the module": (
        """
        class Rates:
            def __init__(self, rate):
                self.rate = rate
            def of(self, x):
                return self.rate * x
        rates = Rates(2)
        async def flow(x):
            return rates.of(x)
        """,
        "Rates(2)",
        "Rates(3)",
    ),
    "a method of an object that a function has made": (
        """
        class Rates:
            def of(self, x):
                return 1
        def make():
            return Rates()
        rates = make()
        async def flow(x):
            return rates.of(x)
        """,
        "return 1",
        "return 2",
    ),
    "a value of an enum": (
        """
        class Kind(enum.Enum):
            A = 1
            B = 2
        async def flow(x):
            return Kind.A.value
        """,
        "A = 1",
        "A = 3",
    ),
    "a function of an enum": (
        """
        class Kind(enum.Enum):
            A = 1
            def price(self):
                return 10
        async def flow(x):
            return Kind(x).price()
        """,
        "return 10",
        "return 11",
    ),
    "an implementation of a generic function": (
        """
        @functools.singledispatch
        def show(x):
            return "any"
        @show.register
        def _(x: int):
            return "int"
        async def flow(x):
            return show(x)
        """,
        '"int"',
        '"whole"',
    ),
    "an argument of a partial": (
        """
        def times(a, b):
            return a * b
        double = functools.partial(times, 2)
        async def flow(x):
            return double(x)
        """,
        "(times, 2)",
        "(times, 3)",
    ),
    "a function in a partial's arguments": (
        """
        def one(x):
            return x + 1
        def apply(fn, x):
            return fn(x)
        applied = functools.partial(apply, one)
        async def flow(x):
            return applied(x)
        """,
        "x + 1",
        "x + 2",
    ),
    "what a closure was made with": (
        """
        def times(factor):
            def run(x):
                return factor * x
            return run
        double = times(2)
        async def flow(x):
            return double(x)
        """,
        "times(2)",
        "times(3)",
    ),
    "what the workflow closes over": (
        """
        def make(limit):
            async def flow(x):
                return limit
            return flow
        flow = make(2)
        """,
        "make(2)",
        "make(3)",
    ),
    "a method that getattr names": (
        """
        class Cart:
            def total(self):
                return 1
        async def flow(x):
            return getattr(Cart(), "to" "tal")()
        """,
        "return 1",
        "return 2",
    ),
    "a function that getattr finds in the module": (
        """
        def on_paid():
            return 1
        async def flow(x):
            return getattr(sys.modules[__name__], f"on_{x}")()
        """,
        "return 1",
        "return 2",
    ),
    "a function among the globals": (
        """
        def on_paid():
            return 1
        async def flow(x):
            return globals()["on_paid"]()
        """,
        "return 1",
        "return 2",
    ),
    "a constant of the module": (
        """
        LIMIT = 3
        async def flow(x):
            return list(range(LIMIT))
        """,
        "LIMIT = 3",
        "LIMIT = 4",
    ),
    "a constant behind a constant": (
        """
        BASE: int = 3
        if BASE > 1:
            LIMIT, OTHER = BASE * 2, 0
        async def flow(x):
            return list(range(LIMIT))
        """,
        "int = 3",
        "int = 4",
    ),
    "a default that is a constant": (
        """
        LIMIT = 3
        def helper(x=LIMIT):
            return x
        async def flow(x):
            return helper()
        """,
        "LIMIT = 3",
        "LIMIT = 4",
    ),
    "a named tuple": (
        """
        class Point(typing.NamedTuple):
            x: int = 0
            y: int = 1
        async def flow(x):
            return Point().y
        """,
        "y: int = 1",
        "y: int = 2",
    ),
    "a class in a function": (
        """
        def make():
            class Cart:
                def total(self):
                    return 1
            return Cart
        Cart = make()
        async def flow(x):
            return Cart().total()
        """,
        "return 1",
        "return 2",
    ),
    "what an own error says": (
        """
        class Refused(Exception):
            def __str__(self):
                return "no"
        async def flow(x):
            raise Refused(x)
        """,
        '"no"',
        '"never"',
    ),
}

REACHED |= {
    "a subclass that the base knows": (
        """
        class Step:
            kinds = {}
            def __init_subclass__(cls):
                Step.kinds[cls.__name__] = cls
        class Pay(Step):
            def run(self):
                return 1
        async def flow(x):
            return Step.kinds[x]().run()
        """,
        "return 1",
        "return 2",
    ),
    "the raw function of an activity": (
        """
        @activity
        def charge(x):
            return x + 1
        async def flow(x):
            return charge.fn(x)
        """,
        "x + 1",
        "x + 2",
    ),
    "a method that setattr sets": (
        """
        class Cart:
            pass
        setattr(Cart, "total", lambda self: 1)
        async def flow(x):
            return Cart().total()
        """,
        "self: 1",
        "self: 2",
    ),
    "a class whose metaclass answers nothing": (
        """
        class Hiding(type):
            def __getattribute__(cls, name):
                raise AttributeError(name)
        class Cart(metaclass=Hiding):
            def total(self):
                return 1
        async def flow(x):
            return Cart().total()
        """,
        "return 1",
        "return 2",
    ),
    "an enum that is made by a call": (
        """
        Kind = enum.Enum("Kind", "A B")
        async def flow(x):
            return list(Kind)
        """,
        '"A B"',
        '"B A"',
    ),
}

# A module, and a change in it that is none for the workflow.
UNSEEN: dict[str, tuple[str, str, str]] = {
    "docstrings, comments and annotations of a class": (
        """
        class Cart:
            total: int = 1
            def all(self):
                return self.total
        async def flow(x):
            return Cart().all()
        """,
        """total: int = 1
            def all(self):""",
        """'''A cart.'''
            # in cents
            total: float = 1

            def all(self) -> float:
                '''Of all.'''""",
    ),
    "a class that it does not use": (
        """
        class Other:
            x = 1
        class Cart:
            y = 2
        async def flow(x):
            return Cart().y
        """,
        "x = 1",
        "x = 2",
    ),
    "an activity in a class that it uses": (
        """
        class Shop:
            @activity(retry=Retry(max_attempts=2))
            def charge(x):
                return 1
            @staticmethod
            def price(x):
                return 2
        async def flow(x):
            return Shop, await Shop.charge(x)
        """,
        "max_attempts=2))\n            def charge(x):\n                return 1",
        "max_attempts=3))\n            def charge(x):\n                return 2",
    ),
    "a policy, and the name of a signal": (
        """
        TWICE = Retry(max_attempts=2)
        go = Signal("go", int)
        @activity
        def work(): ...
        async def flow(x):
            return await work().options(retry=TWICE), await go.wait()
        """,
        'max_attempts=2)\n        go = Signal("go", int)',
        'max_attempts=3)\n        go = Signal("gone", int)',
    ),
    "the fields of an argument": (
        """
        @dataclasses.dataclass
        class Order:
            id: str
        async def flow(order: Order):
            return order.id
        """,
        "id: str",
        "id: str\n            note: str = ''",
    ),
    "the annotation of an argument": (
        """
        @dataclasses.dataclass
        class Order:
            id: str
        async def flow(order):
            return order.id
        """,
        "(order)",
        "(order: Order)",
    ),
    "the docstring of an own error": (
        """
        class Refused(Exception):
            pass
        async def flow(x):
            raise Refused(x)
        """,
        "    pass",
        "    '''No.'''",
    ),
    "another error of the same family": (
        """
        class Refused(Exception):
            code = 1
        class Late(Refused):
            code = 2
        async def flow(x):
            raise Refused(x)
        """,
        "code = 2",
        "code = 3",
    ),
    "where a constant stands": (
        """
        OTHER = 1
        LIMIT: int = 3
        async def flow(x):
            return list(range(LIMIT))
        """,
        "OTHER = 1\n        LIMIT: int = 3",
        "LIMIT = (\n            3  # at most\n        )\n        OTHER = 2",
    ),
}


@pytest.fixture
def modules(tmp_path: Path) -> Iterator[Modules]:
    with modules_in(tmp_path) as modules:
        yield modules


def load(modules: Modules, source: str) -> ModuleType:
    lines = source.strip("\n").splitlines()
    margin = len(lines[0]) - len(lines[0].lstrip())
    return modules.load(HEAD + "\n".join(line[margin:] for line in lines))


def versions(modules: Modules, source: str, old: str, new: str) -> list[str]:
    assert source.count(old) == 1
    return [version_hash_of(load(modules, text).flow) for text in (source, source.replace(old, new))]


@pytest.mark.rule("D2", "D3")
@pytest.mark.parametrize("what", REACHED)
def test_a_change_in_what_the_code_reaches_is_another_version(modules: Modules, what: str) -> None:
    source, old, new = REACHED[what]
    before, after = versions(modules, source, old, new)
    assert before != after
    assert version_hash_of(load(modules, source).flow) == before, "and it is no accident"


@pytest.mark.rule("D2")
@pytest.mark.parametrize("what", UNSEEN)
def test_a_change_in_what_it_does_not_do_leaves_the_version(modules: Modules, what: str) -> None:
    before, after = versions(modules, *UNSEEN[what])
    assert before == after


@pytest.mark.rule("D2")
@pytest.mark.parametrize(
    ("use", "piece"),
    [
        ("Cart().total()", "return 1"),
        ("prices.Cart().total()", "return 1"),
        ("LIMIT", "LIMIT = 3"),
        ("prices.LIMIT", "LIMIT = 3"),
        ("prices.TABLE['a']()", "return 5"),
        ("getattr(prices, 'LIMIT')", "LIMIT = 3"),
        ("getattr(prices, x)()", "return 5"),
    ],
)
def test_of_another_module_it_counts_if_that_is_pure(modules: Modules, use: str, piece: str) -> None:
    helper = """
class Cart:
    def total(self):
        return 1

def five():
    return 5

TABLE = {"a": five}
LIMIT = 3
"""
    user = f"import prices\nfrom prices import LIMIT, Cart\nasync def flow(x):\n    return {use}\n"

    def version(text: str, is_pure: bool) -> str:
        prices = modules.load(text, "prices")
        if is_pure:
            pure(prices)
        return version_hash_of(modules.load(user).flow)

    changed = helper.replace(piece, piece + " + 1")
    assert version(helper, False) == version(changed, False)
    assert version(helper, True) != version(changed, True)


@pytest.mark.rule("D2")
def test_a_class_of_another_module_counts_if_one_of_its_methods_is_pure(modules: Modules) -> None:
    text = "class Cart:\n    def total(self):\n        return 1\n"
    found = []
    for source in (text, text.replace("1", "2")):
        pure(modules.load(source, "carts").Cart.total)
        user = "from carts import Cart\nasync def flow(cart: Cart):\n    return cart.total()\n"
        found.append(version_hash_of(modules.load(user).flow))
    assert found[0] != found[1]


@pytest.mark.rule("D2")
def test_what_the_body_imports_counts_if_its_module_is_pure(modules: Modules) -> None:
    def version(text: str, is_pure: bool) -> str:
        prices = modules.load(text, "reach_own")
        if is_pure:
            pure(prices)
        user = modules.load(
            "async def flow(x):\n    from reach_own import LIMIT\n    return LIMIT\n", "reach_own.flows"
        )
        return version_hash_of(user.flow)

    assert version("LIMIT = 3", False) == version("LIMIT = 4", False)
    assert version("LIMIT = 3", True) != version("LIMIT = 4", True)


@pytest.mark.rule("D2")
def test_the_name_of_the_module_does_not_enter(modules: Modules) -> None:
    pure(modules.load("def other():\n    return 1\n", "m_prices"))
    text = "from m_prices import other\ndef own():\n    return 2\nTABLE = {f.__name__: f for f in (other, own)}\n"
    text += "class Cart:\n    def total(self):\n        return TABLE\n"
    text += "async def flow(cart: Cart):\n    return TABLE, cart.total()\n"
    assert (
        len({version_hash_of(modules.load(text, name).flow) for name in ("a_flows", "z_flows", "__main__2")})
        == 1
    )


@pytest.mark.rule("D2")
def test_what_a_process_puts_into_its_globals_later_does_not_change_a_version(modules: Modules) -> None:
    text = "CACHE = {}\nLAST = None\nclass Cart: ...\nasync def flow(x):\n    return CACHE.get(x), LAST\n"
    module = load(modules, text)
    before = version_hash_of(module.flow)
    vars(module)["LAST"] = module.CACHE["a"] = module.Cart()
    assert version_hash_of(module.flow) == before


IN_PLACE = """
from __future__ import annotations
from continuum import workflow

class Cart:
    def total(self):
        return 1

def helper(x):
    return x + LIMIT

@workflow
async def flow(x):
    return later(x), helper(x), Cart().total()

def later(x):
    return 1

LIMIT = 3
"""


@pytest.mark.rule("D2", "D3")
@pytest.mark.parametrize("used_before", [True, False])
@pytest.mark.parametrize(
    "written",
    [
        "# another line\n" * 3 + IN_PLACE,
        IN_PLACE.replace("LIMIT = 3", "LIMIT = 4"),
        IN_PLACE.replace("return 1", "return 2").replace("x + LIMIT", "x - LIMIT"),
        "this is no Python",
        "",
        None,
    ],
)
def test_the_version_is_that_of_the_code_that_was_loaded(
    modules: Modules, written: str | None, used_before: bool
) -> None:
    first = modules.load(IN_PLACE)
    expected = first.flow.version_hash
    module = modules.load(IN_PLACE, first.__name__)
    if used_before:
        module.flow(1).take()
    file = Path(module.__file__ or "")
    if written is None:
        file.unlink()
    else:
        file.write_text(written)
    module.flow(1).take()
    assert module.flow.version_hash == expected


@pytest.mark.rule("D2", "D3")
def test_a_module_that_is_loaded_again_has_the_version_of_its_new_text(modules: Modules) -> None:
    before = modules.load(IN_PLACE)
    version = before.flow.version_hash
    changed = modules.load(IN_PLACE.replace("LIMIT = 3", "LIMIT = 4"), before.__name__)
    assert changed.flow.version_hash != version


@pytest.mark.rule("D2", "D3")
def test_a_pure_module_keeps_the_text_that_it_was_loaded_with(modules: Modules) -> None:
    text = "def total(x):\n    return x + 1\n"
    user = "import prices\nfrom continuum import workflow\n"
    user += "@workflow\nasync def flow(x):\n    return prices.total(x)\n"
    versions = []
    for deployed in (text, text.replace("+ 1", "+ 2")):
        prices = modules.load(text, "prices")
        pure(prices)
        flow = modules.load(user).flow
        Path(prices.__file__ or "").write_text(deployed)
        versions.append(flow.version_hash)
    assert versions[0] == versions[1]


@pytest.mark.rule("D2")
def test_a_class_whose_metaclass_hides_its_name_is_seen_like_others(modules: Modules) -> None:
    text = """
class Nameless(type):
    def __getattribute__(cls, name):
        if name == "__qualname__":
            raise AttributeError(name)
        return super().__getattribute__(name)
class Cart(metaclass=Nameless):
    total = 1
"""
    user = "\nfrom continuum import workflow\n@workflow\nasync def flow(x):\n    return Cart().total\n"
    version = modules.load(text + user).flow.version_hash
    assert modules.load(text.replace("total = 1", "total = 2") + user).flow.version_hash != version
