"""What an expression can be: a small interpreter over values that are known only in part.

It runs nothing of the application: it follows names, attributes, displays and a few functions of the standard library
that hand on what they are given. Everything else is unknown.
"""

from __future__ import annotations

import ast
import asyncio
import collections.abc
import functools
import itertools
import operator
import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from types import FunctionType
from typing import Any

from continuum.core.determinism.annotations import annotated, given_of
from continuum.core.determinism.objects import items as items_of
from continuum.core.determinism.objects import member
from continuum.core.determinism.scopes import Scope, Surroundings, Thunk, comprehension_scope
from continuum.core.determinism.sources import node_of
from continuum.core.determinism.values import Display, Getter, Given, Instance, Known, Local, Value, Values

_VALUES_MAX = 60
_HANDS_ON = (list, tuple, sorted, reversed, iter, enumerate, zip, filter, itertools.chain, itertools.cycle)
_SET_RESULTS = frozenset({"union", "intersection", "difference", "symmetric_difference", "copy"})
_SETS = (set, frozenset, collections.abc.Set)


class Evaluator:
    """Evaluates the expressions of one function; asks every expression once."""

    def __init__(self) -> None:
        self._known: dict[int, Values] = {}
        self._scopes: dict[int, Scope] = {}
        self._entered: set[int] = set()  # functions whose results are being asked for

    def evaluate(self, node: ast.expr, scope: Scope) -> Values:
        """Return the values that the expression can have; in a circle, those that are known from outside it."""
        known = self._known.get(id(node))
        if known is None:
            self._known[id(node)] = ()
            known = self._known[id(node)] = self._evaluate(node, scope)[:_VALUES_MAX]
        return known

    def scope_of(self, node: ast.AST, outer: Scope) -> Scope:
        """The scope that a comprehension opens."""
        scope = self._scopes.get(id(node))
        if scope is None:
            scope = self._scopes[id(node)] = comprehension_scope(node, outer)  # type: ignore[arg-type]
        return scope

    def local_scope(self, local: Local) -> Scope:
        """The scope of a nested function, with its parameters."""
        scope = self._scopes.get(id(local.node))
        if scope is None:
            scope = self._scopes[id(local.node)] = Scope(local.scope)
            self.bind_parameters(local.node.args, scope, local.scope)
            if isinstance(local.node, ast.Lambda):
                scope.collect(ast.Expression(local.node.body))
            else:
                scope.collect(ast.Module(local.node.body, []))
        return scope

    def bind_parameters(self, arguments: ast.arguments, scope: Scope, outer: Scope) -> None:
        positional = [*arguments.posonlyargs, *arguments.args]
        defaults: list[ast.expr | None] = [*arguments.kw_defaults]
        defaults = [*[None] * (len(positional) - len(arguments.defaults)), *arguments.defaults, *defaults]
        for parameter, default in zip([*positional, *arguments.kwonlyargs], defaults, strict=True):
            annotation = parameter.annotation
            scope.bind_name(parameter.arg, _promised(annotation, scope.surroundings))
            scope.bind_name(parameter.arg, outer.value(default) if default is not None else _nothing)
        for rest in (arguments.vararg, arguments.kwarg):
            if rest is not None:
                scope.bind_name(rest.arg, _nothing)

    def annotated(self, annotation: ast.expr, surroundings: Surroundings) -> Values:
        """The instances that an annotation promises."""
        return annotated(annotation, surroundings)

    # -- parts of values

    def items(self, values: Values, index: int | None = None) -> Values:
        """What iterating over the values, or unpacking them, gives."""
        return tuple(item for value in values for item in self._items(value, index))

    def _items(self, value: Value, index: int | None) -> Values:
        match value:
            case Display(_, parts):
                if index is not None and index < len(parts):
                    return parts[index]
                return tuple(item for part in parts for item in part)
            case Known(obj):
                return items_of(obj)
            case Instance(_, args, given):
                if args:
                    return args[min(index or 0, len(args) - 1)]
                return given_of(given)
            case Given():
                return (value,)
            case _:
                return ()

    def entered(self, node: ast.expr, scope: Scope) -> Values:
        """What ``with`` binds: of classes whose ``__enter__`` is not known, the object itself, which is usual."""
        return tuple(value for value in self.evaluate(node, scope) if isinstance(value, Instance | Given))

    def attribute(self, value: Value, name: str, surroundings: Surroundings) -> Values:
        """An attribute of a value. Fields that are only annotated count as of that type."""
        match value:
            case Given():
                return (value,)
            case Known(Enum() as one) if name == "value":
                return (Known(one._value_),)
            case Instance(cls) if name == "value" and issubclass(cls, Enum):
                return tuple(Known(one._value_) for one in cls)
            case Instance(cls, _, given):
                declared = self._declared(cls, name, given, surroundings)
                if declared:
                    return declared
        if name == "__class__":
            return tuple(Known(cls) for cls in _class_of(value))
        if isinstance(value, Display):
            value = Instance(value.cls)
        found = member(value, name)
        if found is None:
            return given_of(isinstance(value, Instance) and value.given)
        return (found,)

    def _declared(self, cls: type, name: str, given: bool, surroundings: Surroundings) -> Values:
        for base in cls.__mro__:
            annotation = vars(base).get("__annotations__", {}).get(name)
            if annotation is not None:
                where = _globals_of(base) or surroundings.globals
                return annotated(annotation, where, given) or given_of(given)
        return ()

    # -- expressions

    def _evaluate(self, node: ast.expr, scope: Scope) -> Values:  # noqa: PLR0911, PLR0912 - one case a kind
        match node:
            case ast.Constant(value=value):
                return (Known(value),)
            case ast.Name(id=name):
                return scope.lookup(name, self)
            case ast.Attribute(value=base, attr=name):
                found = self.evaluate(base, scope)
                return tuple(v for b in found for v in self.attribute(b, name, scope.surroundings))
            case ast.Call():
                return self._call(node, scope)
            case ast.Await(value=value):
                return self._awaited(value, scope)
            case ast.Lambda():
                return (Local(node, scope),)
            case ast.NamedExpr(value=value) | ast.Starred(value=value):
                return self.evaluate(value, scope)
            case ast.IfExp(body=left, orelse=right):
                return self.evaluate(left, scope) + self.evaluate(right, scope)
            case ast.BoolOp(values=parts):
                return tuple(value for part in parts for value in self.evaluate(part, scope))
            case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
                kinds: dict[type, type] = {ast.List: list, ast.Tuple: tuple, ast.Set: set}
                return (Display(kinds[type(node)], tuple(self._part(part, scope) for part in parts)),)
            case ast.Dict(values=parts):
                return (Display(dict, tuple(self._part(part, scope) for part in parts)),)
            case ast.ListComp(elt=part) | ast.SetComp(elt=part) | ast.GeneratorExp(elt=part):
                kind = set if isinstance(node, ast.SetComp) else list
                return (Display(kind, (self.evaluate(part, self.scope_of(node, scope)),)),)
            case ast.DictComp(value=part):
                return (Display(dict, (self.evaluate(part, self.scope_of(node, scope)),)),)
            case ast.Subscript(value=base, slice=key):
                return self._subscript(self.evaluate(base, scope), self.evaluate(key, scope))
            case ast.BinOp(left=left, right=right):
                return _combined(node.op, self.evaluate(left, scope), self.evaluate(right, scope))
            case _:
                return ()

    def _part(self, node: ast.expr, scope: Scope) -> Values:
        values = self.evaluate(node, scope)
        return self.items(values) if isinstance(node, ast.Starred) else values

    def _subscript(self, containers: Values, keys: Values) -> Values:
        found: list[Value] = []
        for container in containers:
            match container:
                case Known(dict() as mapping):
                    named = [k.obj for k in keys if isinstance(k, Known) and isinstance(k.obj, str | int)]
                    found += [Known(mapping[k]) for k in named if k in mapping] or items_of(mapping)
                case Instance(_, args, given) if args:
                    found += args[-1] or (given_of(given))
                case _:
                    found += self._items(container, None)
        return tuple(found)

    def _awaited(self, node: ast.expr, scope: Scope) -> Values:
        """What a call of an activity, a workflow or a helper gives in the end: what its annotation promises."""
        return self.returned(node, scope) if isinstance(node, ast.Call) else ()

    def returned(self, node: ast.Call, scope: Scope) -> Values:
        found: list[Value] = []
        for value in self.evaluate(node.func, scope):
            if isinstance(value, Local):
                found += self._returned_by(value)
            elif isinstance(value, Known):
                fn = getattr(value.obj, "fn", value.obj) if not isinstance(value.obj, type) else None
                if isinstance(fn, FunctionType):
                    promised = annotated(fn.__annotations__.get("return"), fn.__globals__)
                    found += promised or self._returned_by_function(fn, scope.surroundings)
        return tuple(found)

    def _returned_by_function(self, fn: FunctionType, surroundings: Surroundings) -> Values:
        """What a helper of the same module returns, its parameters being unknown."""
        node = node_of(fn.__code__) if fn.__globals__ is surroundings.globals else None
        return self._returned_by(Local(node, Scope(Surroundings(fn)))) if node is not None else ()

    def _returned_by(self, local: Local) -> Values:
        if id(local.node) in self._entered:
            return ()
        self._entered.add(id(local.node))
        try:
            return self._returns(local)
        finally:
            self._entered.discard(id(local.node))

    def _returns(self, local: Local) -> Values:
        scope = self.local_scope(local)
        if isinstance(local.node, ast.Lambda):
            return self.evaluate(local.node.body, scope)
        found = [
            n.value for n in own_nodes(local.node.body) if isinstance(n, ast.Return) and n.value is not None
        ]
        return tuple(value for node in found for value in self.evaluate(node, scope))

    def _call(self, node: ast.Call, scope: Scope) -> Values:
        arguments = [self.evaluate(argument, scope) for argument in node.args]
        found: list[Value] = list(self.returned(node, scope))
        if isinstance(node.func, ast.Attribute):
            found += self._method(node.func, arguments, scope)
        for value in self.evaluate(node.func, scope):
            match value:
                case Known(obj):
                    found += self._called(obj, arguments, scope)
                case Getter():
                    found += [
                        v for a in arguments[:1] for x in a for v in self.got(value, x, scope.surroundings)
                    ]
                case Given():
                    found.append(value)
        return tuple(found)

    def _method(self, node: ast.Attribute, arguments: Sequence[Values], scope: Scope) -> list[Value]:
        """What a method of a container hands out: its items; and a set combined is a set."""
        found: list[Value] = []
        for receiver in self.evaluate(node.value, scope):
            if is_set(receiver) and node.attr in _SET_RESULTS:
                found.append(Instance(set))
            elif isinstance(receiver, Display) or (isinstance(receiver, Known) and items_of(receiver.obj)):
                parts = self._items(receiver, None)
                found += [*parts, Display(list, (parts,))]
                found += [value for argument in arguments[1:] for value in argument]
        return found

    def _called(self, obj: object, arguments: Sequence[Values], scope: Scope) -> Sequence[Value]:
        first = arguments[0] if arguments else ()
        if obj is getattr and len(arguments) >= 2:
            return self.fetched(arguments, scope.surroundings)
        if obj is functools.partial:
            return first
        if obj in (operator.attrgetter, operator.methodcaller):
            return (Getter(tuple(texts(first))),)
        if obj is next or obj in (max, min):
            return self.items(first)
        if obj is type and len(arguments) == 1:
            return tuple(Known(cls) for value in first for cls in _class_of(value))
        if any(obj is known for known in _HANDS_ON):
            parts = tuple(item for argument in arguments for item in self.items(argument))
            return (Display(list, (parts,)),)
        if obj is asyncio.get_running_loop:
            return (Instance(asyncio.AbstractEventLoop),)
        return (Instance(obj),) if isinstance(obj, type) else ()

    def fetched(self, arguments: Sequence[Values], surroundings: Surroundings) -> Values:
        """What ``getattr(object, name)`` gives."""
        found = [
            value
            for receiver in arguments[0]
            for name in texts(arguments[1])
            for value in self.attribute(receiver, name, surroundings)
        ]
        return (*found, *(value for default in arguments[2:] for value in default))

    def got(self, getter: Getter, value: Value, surroundings: Surroundings) -> Values:
        """What an ``attrgetter`` gives of a value."""
        found: list[Value] = []
        for path in getter.paths:
            values: Values = (value,)
            for name in path.split("."):
                values = tuple(v for base in values for v in self.attribute(base, name, surroundings))
            found += values
        return tuple(found)


def is_set(value: Value) -> bool:
    """Whether iterating over the value has no order."""
    match value:
        case Display(cls) | Instance(cls):
            return issubclass(cls, _SETS) and not issubclass(cls, dict | collections.abc.KeysView)
        case Known(obj):
            return isinstance(obj, set | frozenset)
        case _:
            return False


def _promised(annotation: ast.expr | None, surroundings: Surroundings) -> Thunk:
    return lambda _: annotated(annotation, surroundings)


def _nothing(_: Evaluator) -> Values:
    return ()


def texts(values: Values) -> list[str]:
    return [value.obj for value in values if isinstance(value, Known) and isinstance(value.obj, str)]


def _class_of(value: Value) -> tuple[type, ...]:
    match value:
        case Display(cls) | Instance(cls):
            return (cls,)
        case Known(obj):
            return (type(obj),)
        case _:
            return ()


def _combined(op: ast.operator, left: Values, right: Values) -> Values:
    """Texts that are joined, sets that are combined, paths that are extended; the rest is unknown."""
    if isinstance(op, ast.Add) and texts(left) and texts(right):
        return tuple(Known(a + b) for a in texts(left) for b in texts(right))
    if isinstance(op, ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor):
        return (Instance(set),) if any(map(is_set, left)) or any(map(is_set, right)) else ()
    if isinstance(op, ast.Div):
        return tuple(v for v in left + right if isinstance(v, Instance) and _is_path(v.cls))
    if isinstance(op, ast.Add):
        return tuple(v for v in left + right if isinstance(v, Display))
    return ()


def _is_path(cls: type) -> bool:
    return any(base.__name__ == "PurePath" and base.__module__.startswith("pathlib") for base in cls.__mro__)


def _globals_of(cls: type) -> Mapping[str, Any]:
    module = sys.modules.get(cls.__module__)
    return vars(module) if module is not None else {}


def own_nodes(body: Sequence[ast.stmt]) -> list[ast.AST]:
    """The nodes of some statements, without those of functions and classes inside them."""
    found: list[ast.AST] = []
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        found.append(node)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))
    return found
