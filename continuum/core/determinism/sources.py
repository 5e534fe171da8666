"""The syntax tree of a function: every file is read and parsed once, and its functions are found by line.

Reading goes through ``linecache``, which is what tracebacks show, and which knows notebooks too.
"""

from __future__ import annotations

import ast
import linecache
from types import CodeType
from typing import NamedTuple

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


class _File(NamedTuple):
    lines: list[str]
    functions: dict[tuple[int, str], list[FunctionNode]]


_files: dict[str, _File] = {}


def node_of(code: CodeType) -> FunctionNode | None:
    """Return the tree of a function, with the line numbers of its file, or None if there is no source of it."""
    found = _file(code.co_filename).functions.get((code.co_firstlineno, code.co_name), ())
    if len(found) < 2:
        return found[0] if found else None
    # Several lambdas of one line: a lambda's code has columns of its body, and an outer one none of an inner's.
    last = max((column or 0 for _, _, column, _ in code.co_positions()), default=0)
    inside = [node for node in found if _body_column(node) <= last <= (node.end_col_offset or 0)]
    return inside[-1] if inside else None


def _body_column(node: FunctionNode) -> int:
    return node.body.col_offset if isinstance(node, ast.Lambda) else node.col_offset


def forget_sources() -> None:
    """Drop the parsed files: an application that is loaded needs them no more."""
    _files.clear()


def _file(name: str) -> _File:
    known = _files.get(name)
    linecache.checkcache(name)  # a module may be written anew and loaded again
    lines = linecache.getlines(name)
    if known is not None and known.lines is lines:
        return known
    try:
        tree = ast.parse("".join(lines))
    except (SyntaxError, ValueError):
        tree = ast.Module([], [])
    made = _files[name] = _File(lines, _functions(tree))
    return made


def _functions(tree: ast.Module) -> dict[tuple[int, str], list[FunctionNode]]:
    """By first line, that of the first decorator, and name: what a code object knows of itself."""
    found: dict[tuple[int, str], list[FunctionNode]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda):
            found.setdefault((node.lineno, "<lambda>"), []).append(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            found.setdefault((first, node.name), []).append(node)
    return found
