"""The names of a function: what each is bound to, by whom, in which scope. Python's own rules of scoping.

A binding is a thunk that gives the values when somebody asks; a name that is bound in several places has the values
of all, because the scan does not follow the order of execution.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import TYPE_CHECKING

from continuum.core.determinism.objects import member, named_module
from continuum.core.determinism.values import Display, Known, Local, Values

if TYPE_CHECKING:
    from continuum.core.determinism.evaluation import Evaluator

Thunk = Callable[["Evaluator"], Values]
_LEAVES = (ast.Name, ast.Constant, ast.expr_context)
_BINDING = (
    *(ast.stmt, ast.NamedExpr, ast.withitem, ast.ExceptHandler),
    *(ast.MatchAs, ast.MatchStar, ast.MatchMapping),
)
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


class Surroundings:
    """What a function finds outside itself: its closure, the globals of its module, the builtins."""

    def __init__(self, fn: FunctionType) -> None:
        self.globals = fn.__globals__
        self._cells = dict(zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=False))
        self.own_name = fn.__name__
        self.unresolved: set[str] = set()

    def lookup(self, name: str, required: bool = True) -> Values:
        """The object of that name, or nothing; a required one is noted: it may be defined further down."""
        cell = self._cells.get(name)
        if cell is not None:
            try:
                return (Known(cell.cell_contents),)
            except ValueError:
                return self._missing(name, required)
        if name in self.globals:
            return (Known(self.globals[name]),)
        if name in vars(builtins):
            return (Known(vars(builtins)[name], f"builtins.{name}"),)
        return self._missing(name, required)

    def has_global(self, name: str) -> bool:
        return name in self.globals and name not in self._cells

    def _missing(self, name: str, required: bool) -> Values:
        if required and name != self.own_name:
            self.unresolved.add(name)
        return ()


class Scope:
    """The names that one function, lambda, comprehension or class binds."""

    def __init__(self, outer: Scope | Surroundings) -> None:
        self.outer = outer
        self.bindings: dict[str, list[Thunk]] = {}
        self._elsewhere: set[str] = set()

    @property
    def surroundings(self) -> Surroundings:
        scope: Scope | Surroundings = self
        while isinstance(scope, Scope):
            scope = scope.outer
        return scope

    def lookup(self, name: str, evaluator: Evaluator) -> Values:
        scope: Scope | Surroundings = self
        while isinstance(scope, Scope):
            if name in scope.bindings and name not in scope._elsewhere:
                return tuple(value for thunk in scope.bindings[name] for value in thunk(evaluator))
            scope = scope.outer
        return scope.lookup(name)

    def finds_in_module(self, name: str) -> bool:
        """Say whether the name is one of the module, and not of a function around."""
        scope: Scope | Surroundings = self
        while isinstance(scope, Scope):
            if name in scope.bindings and name not in scope._elsewhere:
                return False
            scope = scope.outer
        return scope.has_global(name)

    def bind(self, target: ast.expr, thunk: Thunk) -> None:
        """Bind what stands left of an assignment; attributes and items are not followed."""
        match target:
            case ast.Name(id=name):
                self.bindings.setdefault(name, []).append(thunk)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                plain = not any(isinstance(part, ast.Starred) for part in parts)
                for index, part in enumerate(parts):
                    self.bind(part, _item(thunk, index if plain else None))
            case ast.Starred(value=value):
                self.bind(value, lambda ev: (Display(list, (thunk(ev),)),))
            case _:
                pass

    def bind_name(self, name: str, thunk: Thunk) -> None:
        self.bindings.setdefault(name, []).append(thunk)

    def collect(self, node: ast.AST) -> None:
        """Bind what the statements below ``node`` bind in this scope."""
        for child in ast.iter_child_nodes(node):
            if isinstance(child, _LEAVES):
                continue
            if isinstance(child, _BINDING):
                self._collect_one(child)
            if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
                self.collect(child)

    def _collect_one(self, node: ast.AST) -> None:  # noqa: PLR0912 - one case a statement that binds
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self.bind(target, self.value(value))
            case ast.AnnAssign(target=target, value=value, annotation=annotation):
                self.bind(target, lambda ev: ev.annotated(annotation, self.surroundings))
                if value is not None:
                    self.bind(target, self.value(value))
            case ast.NamedExpr(target=target, value=value) | ast.AugAssign(target=target, value=value):
                self.bind(target, self.value(value))
            case ast.For(target=target, iter=source) | ast.AsyncFor(target=target, iter=source):
                self.bind(target, _item(self.value(source), None))
            case ast.withitem(context_expr=source, optional_vars=ast.expr() as target):
                self.bind(target, lambda ev: ev.entered(source, self))
            case ast.ExceptHandler(name=str(name)):
                self.bind_name(name, lambda _: ())
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                local = (Local(node, self),)
                self.bind_name(node.name, lambda _: local)
            case ast.ClassDef(name=name):
                self.bind_name(name, lambda _: ())
            case ast.Import(names=names):
                for alias in names:
                    self._bind_import(alias)
            case ast.ImportFrom(names=names, module=module, level=level):
                for alias in names:
                    self.bind_name(
                        alias.asname or alias.name, self._imported(module or "", level, alias.name)
                    )
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                self.bind_name(name, lambda _: ())
            case ast.MatchMapping(rest=str(name)):
                self.bind_name(name, lambda _: ())
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                self._elsewhere.update(names)
            case _:
                pass

    def value(self, node: ast.expr) -> Thunk:
        """The values of an expression of this scope."""
        return lambda ev: ev.evaluate(node, self)

    def _bind_import(self, alias: ast.alias) -> None:
        if alias.asname is not None:
            self.bind_name(alias.asname, lambda _: (named_module(alias.name),))
        else:
            root = alias.name.partition(".")[0]
            self.bind_name(root, lambda _: (named_module(root),))

    def _imported(self, module: str, level: int, name: str) -> Thunk:
        package = absolute(module, level, self.surroundings.globals)

        def imported(_: Evaluator) -> Values:
            found = member(named_module(package), name)
            return () if found is None else (found,)

        return imported


def absolute(module: str, level: int, variables: Mapping[str, object]) -> str:
    """The full name of a module that is imported relatively, as seen from the module with these globals."""
    if level == 0:
        return module
    package = variables.get("__package__") or ""
    parts = str(package).split(".")
    base = ".".join(parts[: len(parts) - level + 1])
    return f"{base}.{module}" if module else base


def comprehension_scope(node: Comprehension, outer: Scope) -> Scope:
    """The scope of a comprehension: the targets of its loops."""
    scope = Scope(outer)
    for number, generator in enumerate(node.generators):
        scope.bind(generator.target, _item((scope if number else outer).value(generator.iter), None))
    return scope


def _item(thunk: Thunk, index: int | None) -> Thunk:
    return lambda ev: ev.items(thunk(ev), index)
