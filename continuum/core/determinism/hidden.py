"""What runs or changes without being named: texts of objects, functions that are handed on, state of a module."""

from __future__ import annotations

import ast
import collections
import datetime as dt
import functools
import itertools
from collections.abc import Iterator
from types import FunctionType

from continuum.core.determinism.evaluation import Evaluator, is_set
from continuum.core.determinism.helpers import functions_of, text_functions_of
from continuum.core.determinism.notes import Notes
from continuum.core.determinism.scopes import Scope
from continuum.core.determinism.values import Instance, Known, Value, Values

_TEXTS = (str, repr, ascii, format, str.format)
# Where a function stands among the arguments of what calls it; by name it is `key`, `func` or `default_factory`.
_CALLERS: tuple[tuple[object, int], ...] = (
    *((caller, 0) for caller in (map, filter, functools.reduce, functools.cmp_to_key)),
    *((caller, 0) for caller in (itertools.starmap, itertools.takewhile, itertools.dropwhile)),
    *((caller, 0) for caller in (itertools.filterfalse, collections.defaultdict)),
    *((caller, 1) for caller in (itertools.accumulate, itertools.groupby)),
    *((caller, -1) for caller in (sorted, min, max, list.sort)),
)
_BY_NAME = frozenset({"key", "func", "function", "default_factory"})
_METHODS = ("__repr__", "__str__", "__format__")
_CHANGES = frozenset(
    {
        *("append", "appendleft", "extend", "insert", "add", "update", "setdefault", "pop", "popleft"),
        *("popitem", "remove", "discard", "clear", "sort", "reverse", "subtract", "rotate"),
    }
)
_CONTAINERS = (list, dict, set, collections.deque, bytearray)
_STATE = "use a local variable or an argument: what a module holds is shared by all runs, and kept by none"
_OWN_TEXT = (
    "give the class a __repr__ of its own, or show what it holds: the text of an object holds its address"
)
_SORTED = "show sorted(...): the order of a set differs from process to process"
_ZONE = "pass a time zone, such as datetime.UTC: without one it is that of the machine"
_LOCAL_TIMES = (dt.datetime.fromtimestamp, dt.datetime.astimezone, dt.date.fromtimestamp)


class HiddenChecks:
    """Checks one function for what it does without naming it."""

    def __init__(self, evaluator: Evaluator, notes: Notes, variables: dict[str, object]) -> None:
        self._evaluator, self._notes, self._variables = evaluator, notes, variables

    def check_text(self, node: ast.AST, values: Values) -> None:
        """Look at what makes the text of these values: the methods of their classes, or an address in memory."""
        for value in values:
            if isinstance(value, Known | Instance) and not is_set(value):
                cls = value.cls if isinstance(value, Instance) else type(value.obj)
                self._notes.helpers += text_functions_of(cls, self._variables)
                if _shows_address(value):
                    self._notes.doubt(node, "identity", f"the text of a {cls.__name__}", _OWN_TEXT)
            if is_set(value):
                self._notes.doubt(node, "set-order", "the text of a set", _SORTED)

    def check_call(self, node: ast.Call, scope: Scope) -> None:
        """Look at calls that make texts, change what a module holds, or mean the machine's time zone."""
        if isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGES:
            self._check_changed(node.func.value, scope, only=_CONTAINERS)
        for callee in self._evaluator.evaluate(node.func, scope):
            if not isinstance(callee, Known):
                continue
            if any(_is(callee.obj, text) for text in _TEXTS):
                for argument in node.args:
                    self.check_text(node, self._evaluator.evaluate(argument, scope))
            if any(_is(callee.obj, known) for known in _LOCAL_TIMES) and _lacks_zone(node):
                self._notes.doubt(
                    node, "environment", f"{callee.name or 'a time'} without a time zone", _ZONE
                )

    def check_target(self, node: ast.expr, scope: Scope) -> None:
        """Look at an assignment or deletion of an item or an attribute."""
        if isinstance(node, ast.Subscript):
            self._check_changed(node.value, scope, only=_CONTAINERS)
        elif isinstance(node, ast.Attribute):
            self._check_changed(node.value, scope, only=None)

    def check_global(self, node: ast.Global) -> None:
        for name in node.names:
            self._notes.doubt(node, "global-state", f"a change of the module's {name}", _STATE, once=True)

    def handed_on(self, node: ast.Call, scope: Scope) -> Iterator[Value]:
        """The functions that this call hands on to what calls them."""
        places = {
            place
            for callee in self._evaluator.evaluate(node.func, scope)
            if isinstance(callee, Known)
            for caller, place in _CALLERS
            if _is(callee.obj, caller)
        }
        if isinstance(node.func, ast.Attribute) and node.func.attr == "sort":
            places.add(-1)
        if not places:
            return
        for place in places:
            if 0 <= place < len(node.args):
                yield from self._evaluator.evaluate(node.args[place], scope)
        for keyword in node.keywords:
            if keyword.arg in _BY_NAME:
                yield from self._evaluator.evaluate(keyword.value, scope)

    def _check_changed(self, base: ast.expr, scope: Scope, only: tuple[type, ...] | None) -> None:
        root = base
        while isinstance(root, ast.Attribute | ast.Subscript):
            root = root.value
        if not (isinstance(root, ast.Name) and scope.finds_in_module(root.id)):
            return
        for value in self._evaluator.evaluate(base, scope):
            if not isinstance(value, Known):
                continue
            if only is None or isinstance(value.obj, only):
                text = ast.unparse(base)
                self._notes.doubt(base, "global-state", f"a change of {text}", _STATE, once=True)


def own_functions_of(value: Value, variables: dict[str, object]) -> list[FunctionType]:
    """The functions that using an instance of a class of the module may run: operators, descriptors, iteration."""
    return functions_of(value.cls, variables) if isinstance(value, Instance) else []


def _shows_address(value: Known | Instance) -> bool:
    if isinstance(value, Known):
        obj = value.obj
        return isinstance(obj, FunctionType) or (not isinstance(obj, type) and _has_no_text(type(obj)))
    return not value.given and _has_no_text(value.cls)


def _has_no_text(cls: type) -> bool:
    """Whether texts of its instances are ``object``'s; what only describes other classes has none of its own."""
    if getattr(cls, "_is_protocol", False) or getattr(cls, "__abstractmethods__", None):
        return False
    return cls.__module__ != "typing" and all(
        getattr(cls, each) is getattr(object, each) for each in _METHODS
    )


def _lacks_zone(node: ast.Call) -> bool:
    named = isinstance(node.func, ast.Attribute) and node.func.attr
    enough = 1 if named == "astimezone" else 2
    return len(node.args) < enough and not any(keyword.arg in ("tz", None) for keyword in node.keywords)


def _is(obj: object, known: object) -> bool:
    """Whether it is that object, or that method as its class holds it."""
    name = str(getattr(known, "__qualname__", ""))
    return obj is known or ("." in name and getattr(obj, "__qualname__", None) == name)
