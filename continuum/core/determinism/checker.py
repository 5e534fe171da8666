"""Walks the code of one function and notes what a replay cannot repeat (X2, X4, X5).

Denied is the *mention* of a denied object, called or not: so a partial, a ``map``, a default argument or a list cannot
launder it. Three things are no mention yet: to give it another name (``clock = time.time``), to define a function or
lambda with it, and to pass it to ``side_effect``; the name, or the function, is looked at where it is used.
"""

from __future__ import annotations

import ast
import builtins
import typing
from enum import Enum, auto
from types import ModuleType

from continuum.core.determinism.calls import CallChecks
from continuum.core.determinism.evaluation import Evaluator
from continuum.core.determinism.handling import check_finally, check_handlers
from continuum.core.determinism.helpers import functions_of
from continuum.core.determinism.hidden import HiddenChecks, own_functions_of
from continuum.core.determinism.notes import Notes
from continuum.core.determinism.objects import denied, guarded, names_of
from continuum.core.determinism.scopes import Comprehension, Scope
from continuum.core.determinism.table import rule_named
from continuum.core.determinism.values import Known, Local, Values
from continuum.model.completion import factories_of

_DYNAMIC = rule_named("dynamic-code")
_SIDE_EFFECT = "continuum.side_effect"
_COMPENSATES = ("compensate", "compensate_all")


class Use(Enum):
    """How an expression is used: as a value, under an attribute or a call, or only to be given a name."""

    VALUE = auto()
    BASE = auto()
    NAMING = auto()


class Checker:
    """Looks at one function, and at the functions that are defined in it as far as they are used."""

    def __init__(self, evaluator: Evaluator, notes: Notes, variables: dict[str, object]) -> None:
        self._evaluator, self._notes, self._variables = evaluator, notes, variables
        self._calls = CallChecks(evaluator, notes, str(variables.get("__name__", "")))
        self._hidden = HiddenChecks(evaluator, notes, variables)
        self._seen: set[int] = set()
        self._covered: set[int] = set()  # calls of activities of which somebody has said how to undo them

    # -- statements

    def statements(self, body: list[ast.stmt], scope: Scope) -> None:
        for statement in body:
            self._statement(statement, scope)

    def _statement(self, node: ast.AST, scope: Scope) -> None:  # noqa: PLR0912 - a case a statement
        match node:
            case ast.Assign(targets=targets, value=value):
                self._assigned(targets, value, scope)
            case ast.AnnAssign(target=target, value=value):
                if value is not None:
                    self._assigned([target], value, scope)
            case ast.AugAssign(target=target):
                self._hidden.check_target(target, scope)
                self._children(node, scope)
            case ast.Delete(targets=targets):
                for each in targets:
                    self._hidden.check_target(each, scope)
                self._children(node, scope)
            case ast.Global():
                self._hidden.check_global(node)
            case ast.For(iter=source):
                self._calls.check_iteration(source, scope)
                self._children(node, scope)
            case ast.Try() | ast.TryStar():
                check_handlers(node, self._evaluator, scope, self._notes)
                check_finally(node, self._notes)
                self._children(node, scope)
            case ast.ExceptHandler(body=body):
                self.statements(body, scope)  # the types are only caught, whatever module they are of
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._function(node, scope)
            case ast.ClassDef(body=body):
                for part in (*node.decorator_list, *node.bases, *(k.value for k in node.keywords)):
                    self.expression(part, scope)
                self._class_body(body, scope)
            case ast.MatchClass(patterns=patterns, kwd_patterns=named):
                for pattern in (*patterns, *named):
                    self._statement(pattern, scope)
            case ast.expr():
                self.expression(node, scope)
            case _:
                self._children(node, scope)

    def _children(self, node: ast.AST, scope: Scope) -> None:
        for child in ast.iter_child_nodes(node):
            self._statement(child, scope)

    def _assigned(self, targets: list[ast.expr], value: ast.expr, scope: Scope) -> None:
        names_only = all(isinstance(target, ast.Name) for target in targets)
        self.expression(value, scope, Use.NAMING if names_only else Use.VALUE)
        for target in targets:
            if isinstance(target, ast.Tuple | ast.List):
                self._calls.check_iteration(value, scope)
            if not isinstance(target, ast.Name):
                self._hidden.check_target(target, scope)
                self._children(target, scope)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope) -> None:
        for part in (*node.decorator_list, *_defaults(node.args)):
            self.expression(part, scope)
        if node.decorator_list:
            self._local(Local(node, scope))

    def _class_body(self, body: list[ast.stmt], scope: Scope) -> None:
        for statement in body:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                self._function(statement, scope)
                self._local(Local(statement, scope))
            else:
                self._statement(statement, scope)

    def _local(self, local: Local) -> None:
        if id(local.node) in self._seen:
            return
        self._seen.add(id(local.node))
        scope = self._evaluator.local_scope(local)
        if isinstance(local.node, ast.Lambda):
            for default in _defaults(local.node.args):
                self.expression(default, local.scope)
            self.expression(local.node.body, scope)
        else:
            self.statements(local.node.body, scope)

    # -- expressions

    def expression(  # noqa: PLR0912 - one case a kind of expression
        self, node: ast.expr, scope: Scope, use: Use = Use.VALUE
    ) -> None:
        """Look at an expression, whose value is used as ``use`` says."""
        match node:
            case ast.Name(ctx=ast.Load()):
                self._mentioned(node, self._evaluator.evaluate(node, scope), use)
            case ast.Attribute(value=base, attr=name):
                if not self._mentioned(node, self._evaluator.evaluate(node, scope), use):
                    self._check_dictionary(node, name, self._evaluator.evaluate(base, scope))
                    self.expression(base, scope, Use.BASE)
            case ast.Call():
                self._call(node, scope)
            case ast.Lambda():
                if use is not Use.NAMING:
                    self._local(Local(node, scope))
            case ast.NamedExpr(value=value):
                self.expression(value, scope, use)
            case ast.IfExp(test=test, body=left, orelse=right):
                self.expression(test, scope)
                self.expression(left, scope, use)
                self.expression(right, scope, use)
            case ast.BoolOp(values=parts):
                for part in parts:
                    self.expression(part, scope, use)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                self._comprehension(node, scope)
            case ast.FormattedValue(value=value):
                self._hidden.check_text(node, self._evaluator.evaluate(value, scope))
                self._children(node, scope)
            case ast.Starred(value=value) | ast.YieldFrom(value=value):
                self._calls.check_iteration(value, scope)
                self.expression(value, scope)
            case _:
                self._children(node, scope)

    def _mentioned(self, node: ast.AST, values: Values, use: Use) -> bool:
        """Note what is denied; True if there is no need to look at the parts of the expression."""
        for value in values:
            found = denied(value)
            if found is not None:
                if use is not Use.NAMING:
                    self._notes.refuse(node, found.name, found.denial)
                return True
            if use is Use.NAMING:
                continue
            self._notes.helpers += own_functions_of(value, self._variables)
            if isinstance(value, Local):
                self._local(value)
            elif isinstance(value, Known) and isinstance(value.obj, ModuleType):
                name = guarded(value.obj)
                if use is Use.VALUE and name is not None:
                    self._notes.refuse(node, f"the module {name} as a value", _DYNAMIC)
            elif isinstance(value, Known):
                self._notes.helpers += functions_of(value.obj, self._variables)
        return False

    def _check_dictionary(self, node: ast.AST, name: str, bases: Values) -> None:
        owner = next((guarded(base.obj) for base in bases if isinstance(base, Known)), None)
        if name == "__dict__" and owner is not None:
            self._notes.refuse(node, f"{owner}.__dict__", _DYNAMIC)

    def _comprehension(self, node: Comprehension, scope: Scope) -> None:
        inner = self._evaluator.scope_of(node, scope)
        for number, generator in enumerate(node.generators):
            around = inner if number else scope
            self._calls.check_iteration(generator.iter, around)
            self.expression(generator.iter, around)
            for condition in generator.ifs:
                self.expression(condition, inner)
        for part in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            self.expression(part, inner)

    # -- calls

    def _call(self, node: ast.Call, scope: Scope) -> None:
        callees = [v for v in self._evaluator.evaluate(node.func, scope) if isinstance(v, Known)]
        objects = [callee.obj for callee in callees]
        self._note_compensations(node, objects)
        self._notes.made += [(obj, node) for obj in objects if isinstance(obj, type) and factories_of(obj)]
        self.expression(node.func, scope, Use.BASE)
        arguments = list(node.args)
        if any(_SIDE_EFFECT in names_of(obj) for obj in objects):
            return  # whatever runs in there, its result is journaled
        if any(obj is builtins.isinstance or obj is builtins.issubclass for obj in objects):
            del arguments[1:]
        elif any(obj is typing.cast for obj in objects):
            del arguments[:1]
        elif any(obj is getattr for obj in objects) and arguments:
            self._calls.check_getattr(node, scope)
            self.expression(arguments.pop(0), scope, Use.BASE)
        for argument in (*arguments, *(keyword.value for keyword in node.keywords)):
            self.expression(argument, scope)
        self._calls.check(node, scope)
        self._hidden.check_call(node, scope)
        self._calls.check_handed_on(node, self._hidden.handed_on(node, scope))

    def _note_compensations(self, node: ast.Call, objects: list[object]) -> None:
        """Remember calls of activities that nobody has said how to undo, for workflows that undo all."""
        func = node.func
        named = [keyword.value for keyword in node.keywords if keyword.arg == "compensate"]
        if isinstance(func, ast.Attribute) and func.attr == "options" and named:
            self._covered.add(id(func.value))
            self._covered.update(id(part) for value in named for part in ast.walk(value))
        for obj in objects:
            ours = type(obj).__module__.startswith("continuum.")
            if ours and getattr(obj, "kind", "") == "activity" and id(node) not in self._covered:
                self._notes.activities.append((node.lineno, str(getattr(obj, "__name__", "activity"))))
            name = getattr(obj, "__name__", "")
            if name in _COMPENSATES and str(getattr(obj, "__module__", "")).startswith("continuum."):
                self._notes.compensates |= name == "compensate_all"
                self._covered.update(id(part) for value in node.args for part in ast.walk(value))


def _defaults(arguments: ast.arguments) -> list[ast.expr]:
    return [*arguments.defaults, *(default for default in arguments.kw_defaults if default is not None)]
