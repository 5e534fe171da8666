"""Handlers that swallow what must pass: a run's suspension, its cancellation, its continuation (X5, X8)."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from continuum.core.determinism.evaluation import Evaluator, own_nodes
from continuum.core.determinism.notes import Notes
from continuum.core.determinism.scopes import Scope
from continuum.core.determinism.values import Known

_REMEDY = "catch Exception instead, or end the handler with `raise`"


def check_handlers(node: ast.Try | ast.TryStar, evaluator: Evaluator, scope: Scope, notes: Notes) -> None:
    """Note handlers of everything that do not raise again."""
    for handler in node.handlers:
        raises = any(isinstance(part, ast.Raise) for part in own_nodes(handler.body))
        if not raises and _catches_all(handler, evaluator, scope):
            text = "a bare except:" if handler.type is None else "except BaseException"
            notes.doubt(handler, "bare-except", f"{text} without raise", _REMEDY)


def check_finally(node: ast.Try | ast.TryStar, notes: Notes) -> None:
    """Note a ``return`` in ``finally``: it drops whatever exception is on its way."""
    for part in _returns(node.finalbody):
        notes.doubt(part, "finally-return", "return inside finally", "return after the try statement")


def _returns(body: Sequence[ast.stmt]) -> list[ast.AST]:
    return [part for part in own_nodes(body) if isinstance(part, ast.Return)]


def _catches_all(handler: ast.ExceptHandler, evaluator: Evaluator, scope: Scope) -> bool:
    if handler.type is None:
        return True
    caught = evaluator.evaluate(handler.type, scope)
    return any(isinstance(v, Known) and v.obj is BaseException for v in (*caught, *evaluator.items(caught)))
