"""The scan of a workflow, with all the helpers that it reaches, when it is defined and once more when it is used.

At the decorator, functions that stand further down in the module do not exist yet. A function with such names is kept
waiting, and scanned again at the first call of the workflow or when the application is loaded, whichever is first.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import FunctionType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from continuum.core.determinism import settings
from continuum.core.determinism.annotations import annotated
from continuum.core.determinism.checker import Checker
from continuum.core.determinism.evaluation import Evaluator
from continuum.core.determinism.notes import Notes
from continuum.core.determinism.objects import denied_object
from continuum.core.determinism.scopes import Scope, Surroundings, Thunk
from continuum.core.determinism.sources import FunctionNode, keep_source, node_of
from continuum.core.determinism.values import Given, Instance, Known, Values
from continuum.errors import DeterminismError, Finding
from continuum.model.completion import factories_of

_COMPENSATION = "add .options(compensate=...), or compensate=None to say that there is nothing to undo"


class _Scanned(NamedTuple):
    notes: Notes
    unresolved: bool
    generation: int


class _Waiting(NamedTuple):
    scanned: Any  # a FunctionType; checkers take one that is a field for a method
    told: frozenset[Finding]


_helpers: WeakKeyDictionary[FunctionType, _Scanned] = WeakKeyDictionary()
waiting: dict[str, _Waiting] = {}
_looking: set[FunctionType] = set()  # default factories that are being scanned


def keep_defaults(cls: type, factories: Mapping[str, Callable[[], object]]) -> bool:
    """Replaced by who can: see core/defaults."""
    return False


def define(fn: Callable[..., Any], name: str) -> None:
    """Scan a function that becomes a workflow, or is marked as pure, under this name.

    Raises:
        DeterminismError: with all findings of the function and its helpers.
    """
    waiting.pop(name, None)
    keep_source(fn)
    if isinstance(fn, FunctionType):
        findings, unresolved = scan(fn, name)
        settings.tell(findings)
        if unresolved:
            waiting[name] = _Waiting(fn, frozenset(findings))


def settle(name: str) -> None:
    """Scan again what waited for names further down in its module.

    Raises:
        DeterminismError: as :func:`define`; it is raised again until the workflow is defined anew.
    """
    entry = waiting.get(name)
    if entry is not None:
        findings, _ = scan(entry.scanned, name)
        settings.tell([finding for finding in findings if finding not in entry.told])
        if not _is_being_imported(entry.scanned.__module__):
            waiting.pop(name, None)


def settle_all() -> None:
    """Scan again all that waits.

    Raises:
        DeterminismError: with the findings of all of them.
    """
    errors: list[Finding] = []
    for name in list(waiting):
        try:
            settle(name)
        except DeterminismError as error:
            errors += error.findings
    if errors:
        raise DeterminismError(errors)


def scan(fn: FunctionType, name: str) -> tuple[list[Finding], bool]:
    """Return all findings of a function and its helpers, and whether some names were not there yet."""
    first = _scan_one(fn, given=True)
    scanned, unresolved = [first], first.unresolved
    seen, queue = {fn}, list(first.notes.helpers)
    while queue:
        helper = queue.pop(0)
        if helper not in seen:
            seen.add(helper)
            one = _scan_helper(helper)
            scanned.append(one)
            unresolved |= one.unresolved
            queue += one.notes.helpers
    notes = [one.notes for one in scanned]
    findings = [finding for note in notes for finding in note.findings] + _uncompensated(notes)
    findings += [finding for note in notes for finding in _undefaulted(note)]
    return [replace(finding, function=name) for finding in dict.fromkeys(findings)], unresolved


def _undefaulted(note: Notes) -> list[Finding]:
    """Objects that are made without a field whose default factory draws: kept by a side effect, or refused."""
    found = []
    for cls, call in note.made:
        drawing = _drawing(cls)
        left = [name for name in drawing if not _passes(call, cls, name)]
        if left and not keep_defaults(cls, drawing):
            what = (
                f"{cls.__qualname__}() without {left[0]}, whose default factory draws another in each replay"
            )
            remedy = (
                f"pass {left[0]}= where the object is made, from continuum.uuid4(), now() or side_effect(fn)"
            )
            found.append(Finding(note.file, call.lineno, "default-factory", what, remedy))
    return found


def _drawing(cls: type) -> dict[str, Callable[[], object]]:
    """The default factories of a class that a replay cannot repeat."""
    return {name: factory for name, factory in factories_of(cls).items() if _draws(factory)}


def _draws(factory: Callable[[], object]) -> bool:
    if denied_object(factory) is not None:
        return True
    if not isinstance(factory, FunctionType) or factory in _looking:
        return False
    _looking.add(factory)
    try:
        return any(finding.severity == "error" for finding in scan(factory, factory.__qualname__)[0])
    finally:
        _looking.discard(factory)


def _passes(call: ast.Call, cls: type, name: str) -> bool:
    """Whether the call gives the field a value, as far as can be seen."""
    if any(keyword.arg in (name, None) for keyword in call.keywords):
        return True
    fields = [*getattr(cls, "__struct_fields__", ())]
    return (
        any(isinstance(argument, ast.Starred) for argument in call.args) or name in fields[: len(call.args)]
    )


def _scan_helper(fn: FunctionType) -> _Scanned:
    known = _helpers.get(fn)
    if known is None or known.generation != settings.generation():
        known = _scan_one(fn, given=False)
        if not known.unresolved:
            _helpers[fn] = known
    return known


def _scan_one(fn: FunctionType, given: bool) -> _Scanned:
    notes = Notes(fn.__code__.co_filename)
    node = node_of(fn.__code__)
    surroundings = Surroundings(fn)
    if node is None:
        place = ast.Pass(lineno=fn.__code__.co_firstlineno)
        text = f"{fn.__qualname__}, whose source cannot be read"
        notes.doubt(place, "no-source", text, "define it in a file, so that it can be scanned")
    else:
        _check(fn, node, surroundings, notes, given)
    return _Scanned(notes, bool(surroundings.unresolved), settings.generation())


def _check(
    fn: FunctionType, node: FunctionNode, surroundings: Surroundings, notes: Notes, given: bool
) -> None:
    scope = Scope(surroundings)
    _bind_parameters(fn, node.args, scope, given)
    body: list[ast.stmt] = [ast.Expr(node.body)] if isinstance(node, ast.Lambda) else node.body
    scope.collect(ast.Module(body, []))
    Checker(Evaluator(), notes, fn.__globals__).statements(body, scope)


def _bind_parameters(fn: FunctionType, arguments: ast.arguments, scope: Scope, given: bool) -> None:
    """A parameter is what its annotation says, or the default that it has already; a workflow's are input."""
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = dict(fn.__kwdefaults__ or {})
    values = fn.__defaults__ or ()
    defaults.update(zip((p.arg for p in positional[len(positional) - len(values) :]), values, strict=True))
    for parameter in (*positional, *arguments.kwonlyargs):
        scope.bind_name(parameter.arg, _parameter(parameter.annotation, scope.surroundings, given))
        if parameter.arg in defaults:
            scope.bind_name(parameter.arg, _constant(Known(defaults[parameter.arg])))
    for rest, kind in ((arguments.vararg, tuple), (arguments.kwarg, dict)):
        if rest is not None:
            scope.bind_name(rest.arg, _constant(Instance(kind, ((Given(),) if given else (),))))


def _parameter(annotation: ast.expr | None, surroundings: Surroundings, given: bool) -> Thunk:
    unknown: Values = (Given(),) if given else ()
    if annotation is None:
        return lambda _: unknown
    return lambda _: annotated(annotation, surroundings, given) or unknown


def _constant(value: Known | Instance) -> Thunk:
    return lambda _: (value,)


def _uncompensated(notes: list[Notes]) -> list[Finding]:
    """A workflow that undoes everything has to say for each activity how; told once."""
    left = [(note.file, line, name) for note in notes for line, name in note.activities]
    if not left or not any(note.compensates for note in notes):
        return []
    names = ", ".join(dict.fromkeys(name for _, _, name in left))
    file, line, _ = left[0]
    text = f"compensate_all() beside activities without compensate=: {names}"
    return [Finding(file, line, "no-compensation", text, _COMPENSATION, severity="warning")]


def _is_being_imported(module: str) -> bool:
    spec = getattr(sys.modules.get(module), "__spec__", None)
    return bool(getattr(spec, "_initializing", False))
