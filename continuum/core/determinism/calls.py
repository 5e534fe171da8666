"""What is wrong with a call beyond the names in it: hidden attributes, sets put in order, unknown code (X4, X5)."""

from __future__ import annotations

import ast
import asyncio
import collections
import datetime as dt
import decimal
import itertools
import uuid
from collections.abc import Iterable
from types import FunctionType

from continuum.core.determinism.evaluation import Evaluator, is_set, texts
from continuum.core.determinism.notes import Notes
from continuum.core.determinism.objects import denied, guarded, is_plain, module_of, names_of
from continuum.core.determinism.scopes import Scope
from continuum.core.determinism.settings import is_pure, is_trusted
from continuum.core.determinism.table import rule_named
from continuum.core.determinism.values import Getter, Given, Known, Named, Value, Values

_PUTS_IN_ORDER = (
    *(list, tuple, iter, enumerate, zip, map, filter, reversed, collections.deque, dict.fromkeys, str.join),
    *(
        asyncio.gather,
        itertools.chain,
        itertools.cycle,
        itertools.islice,
        itertools.accumulate,
        itertools.groupby,
    ),
    *(itertools.product, itertools.permutations, itertools.combinations, itertools.zip_longest),
)
# Methods of what payloads are made of: to call one on an argument is no call of unknown code.
_PLAIN_METHODS = frozenset(
    name
    for cls in (
        *(str, bytes, int, float, list, dict, set, tuple, range, collections.deque, uuid.UUID),
        *(dt.datetime, dt.timedelta, decimal.Decimal),
    )
    for name in dir(cls)
)
_DYNAMIC = rule_named("dynamic-code")
_SET_ORDER = rule_named("set-order")


class CallChecks:
    """Checks the calls of one function."""

    def __init__(self, evaluator: Evaluator, notes: Notes, own_module: str) -> None:
        self._evaluator, self._notes, self._own_module = evaluator, notes, own_module

    def check(self, node: ast.Call, scope: Scope) -> None:
        """Note what is wrong with the call itself; its function and arguments are looked at by the checker."""
        callees = self._evaluator.evaluate(node.func, scope)
        arguments = [self._evaluator.evaluate(argument, scope) for argument in node.args]
        self._check_hidden(node, callees, arguments, scope)
        self._check_order(node, callees, arguments)
        for callee in callees:
            if isinstance(callee, Given):
                self._check_given(node)
            else:
                self._check_stranger(node, callee)

    def check_handed_on(self, node: ast.Call, functions: Iterable[Value]) -> None:
        """Note functions that the call hands on to what calls them: `map(handler, ...)`, `sorted(..., key=handler)`."""
        for value in functions:
            if isinstance(value, Known):
                self._check_stranger(node, value)

    def check_getattr(self, node: ast.Call, scope: Scope) -> None:
        """``getattr(time, "time")`` is ``time.time``; of a module with denied parts the name must be readable."""
        arguments = [self._evaluator.evaluate(argument, scope) for argument in node.args]
        if len(arguments) >= 2:
            self._check_fetched(node, arguments, scope)

    def check_iteration(self, node: ast.expr, scope: Scope) -> None:
        """Note a set that is iterated over."""
        if any(is_set(value) for value in self._evaluator.evaluate(node, scope)):
            self._notes.refuse(node, "iteration over a set", _SET_ORDER)

    def _check_fetched(self, node: ast.Call, arguments: list[Values], scope: Scope) -> None:
        if texts(arguments[1]):
            self._refuse_all(node, self._evaluator.fetched(arguments[:2], scope.surroundings))
            return
        for value in arguments[0]:
            name = guarded(value.obj) if isinstance(value, Known) else None
            if name is not None:
                self._notes.refuse(
                    node, f"getattr({name}, ...) with a name that is made at run time", _DYNAMIC
                )

    def _check_hidden(self, node: ast.Call, callees: Values, arguments: list[Values], scope: Scope) -> None:
        """An ``attrgetter``, or ``getattr`` itself, that is applied, or passed on beside what it may be applied to."""
        getters = [value for value in callees if isinstance(value, Getter)]
        getters += [value for argument in arguments for value in argument if isinstance(value, Getter)]
        passed = [value for argument in arguments for value in argument]
        reachable = [*passed, *self._evaluator.items(tuple(passed))]
        for getter in getters:
            for value in reachable:
                self._refuse_all(node, self._evaluator.got(getter, value, scope.surroundings))
        if any(isinstance(value, Known) and value.obj is getattr for value in passed):
            names = tuple(Known(text) for text in texts(tuple(reachable)))
            for value in reachable:
                if isinstance(value, Known) and guarded(value.obj):
                    self._check_fetched(node, [(value,), names], scope)

    def _refuse_all(self, node: ast.AST, values: Values) -> None:
        for value in values:
            found = denied(value)
            if found is not None:
                self._notes.refuse(node, found.name, found.denial)

    def _check_order(self, node: ast.Call, callees: Values, arguments: list[Values]) -> None:
        if not any(is_set(value) for argument in arguments for value in argument):
            return
        for callee in callees:
            if isinstance(callee, Known) and any(_same(callee.obj, known) for known in _PUTS_IN_ORDER):
                self._notes.refuse(node, "the order of a set", _SET_ORDER)

    def _check_given(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute) and node.func.attr in _PLAIN_METHODS:
            return
        text = ast.unparse(node.func)
        self._notes.doubt(
            node,
            "input-call",
            f"a call of {text}, which came with the input",
            "call a function of the module, or an @activity, and choose it by a plain value",
        )

    def _check_stranger(self, node: ast.Call, callee: Value) -> None:
        if isinstance(callee, Named):
            module, name = callee.name.rpartition(".")[0], callee.name
        elif isinstance(callee, Known) and not (isinstance(callee.obj, type) and is_plain(callee.obj)):
            obj = (
                getattr(callee.obj, "__func__", callee.obj)
                if isinstance(callee.obj, staticmethod)
                else callee.obj
            )
            module = module_of(obj)
            if module == self._own_module or is_pure(obj, module):
                return
            name = next(iter(names_of(obj)), module) if isinstance(obj, type | FunctionType) else callee.name
        else:
            return
        if not is_trusted(module) and denied(callee) is None:
            self._notes.doubt(
                node,
                "untrusted-call",
                f"a call of {name or module}, which was not scanned",
                f"mark it with @pure, or name its module in continuum.configure(trusted_modules=[{module!r}]), or call "
                "it in an @activity",
                once=True,
            )


def _same(obj: object, known: object) -> bool:
    return obj is known or (
        getattr(obj, "__name__", None) == getattr(known, "__name__", "")
        and getattr(obj, "__objclass__", obj) is getattr(known, "__objclass__", known)
    )
