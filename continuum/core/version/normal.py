"""The normal form of a syntax tree: what it says, in words that no Python version changes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

SILENT = frozenset({"type_comment", "type_params", "annotation", "returns", "ctx", "kind"})
_DOCUMENTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def normal_form(node: ast.AST) -> str:
    """Return what the tree says, in a text that is the same on every supported Python."""
    return "".join(_pieces(node))


def _pieces(node: object) -> Iterator[str]:
    if isinstance(node, ast.AST):
        yield f"({type(node).__name__}"
        for name, value in ast.iter_fields(node):
            if name in SILENT or value is None or value == [] or _is_empty_format(name, value):
                continue
            yield f" {name}="
            if name == "body" and isinstance(value, list):
                yield from listed(
                    statements_kept(value, isinstance(node, ast.ClassDef), isinstance(node, _DOCUMENTED))
                )
            elif name in ("orelse", "finalbody") and isinstance(value, list):
                yield from listed(statements_kept(value, False, False))
            elif isinstance(node, ast.JoinedStr):
                yield from listed(_merged(value))
            else:
                yield from _pieces(value)
        yield ")"
    elif isinstance(node, list):
        yield from listed(node)
    else:
        yield ascii(node)  # repr() shows what the interpreter's own edition of Unicode calls printable


def listed(items: list[Any]) -> Iterator[str]:
    yield "["
    for item in items:
        yield from _pieces(item)
    yield "]"


def statements_kept(body: list[ast.stmt], in_class: bool, documented: bool) -> list[ast.stmt]:
    """The statements without docstring, ``pass`` and annotations; a class keeps the names of its fields."""
    kept: list[ast.stmt] = []
    for index, statement in enumerate(body):
        if isinstance(statement, ast.Pass) or (documented and index == 0 and _is_text(statement)):
            continue
        if isinstance(statement, ast.AnnAssign) and not in_class:
            if statement.value is not None:
                kept.append(ast.Assign([statement.target], statement.value, lineno=0))
            continue
        kept.append(statement)
    return kept


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _is_empty_format(name: str, value: object) -> bool:
    """Whether it is what stands behind the colon of ``f"{x:}"``, which not every version keeps."""
    return name == "format_spec" and isinstance(value, ast.JoinedStr) and not _merged(value.values)


def _merged(values: list[ast.expr]) -> list[ast.expr]:
    """The parts of an f-string, with texts that lie side by side as one: how they are cut is up to the parser."""
    parts: list[ast.expr] = []
    for value in values:
        before = parts[-1] if parts else None
        if isinstance(value, ast.Constant) and isinstance(before, ast.Constant):
            parts[-1] = ast.Constant(str(before.value) + str(value.value))
        elif not (isinstance(value, ast.Constant) and value.value == ""):
            parts.append(value)
    return parts


def parts_of(node: ast.AST) -> Iterator[ast.AST]:
    """The node and what is below it, in the order of the text, without what is silent."""
    yield node
    for name, value in ast.iter_fields(node):
        if name not in SILENT:
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, ast.AST):
                    yield from parts_of(item)
