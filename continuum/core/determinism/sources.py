"""The source of what is loaded: every file is read when something in it is defined, parsed once, and kept as it was.

A deployment may write a file anew under a process that lives on. What this process runs is still what it has loaded, so
neither the scan of a workflow nor its version may look at the file again: both ask here.

Reading goes through ``linecache``, which is what tracebacks show, and which knows notebooks too.
"""

from __future__ import annotations

import ast
import linecache
from collections.abc import Callable
from types import CodeType
from typing import Any

from continuum.core.version import Source

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

_defined: dict[str, Source] = {}  # files with a workflow or a pure function, as they were when it was defined
_others: dict[str, Source] = {}


def keep_source(fn: Callable[..., Any]) -> None:
    """Read the file of a function that is being defined: it still says what is being loaded."""
    code = getattr(fn, "__code__", None)
    if isinstance(code, CodeType):
        _read(code.co_filename, getattr(fn, "__globals__", {}), _defined)


def source_of(file: str, variables: dict[str, Any]) -> Source:
    """Return what the file said when it was loaded; of a file in which nothing was defined, what it says now."""
    kept = _defined.get(file)
    return _read(file, variables, _others) if kept is None else kept


def node_of(code: CodeType) -> FunctionNode | None:
    """Return the tree of a function, with the line numbers of its file, or None if there is no source of it."""
    found = source_of(code.co_filename, {}).functions.get((code.co_firstlineno, code.co_name), [])
    if len(found) < 2:
        return found[0] if found else None
    # Several lambdas of one line: a lambda's code has columns of its body, and an outer one none of an inner's.
    last = max((column or 0 for _, _, column, _ in code.co_positions()), default=0)
    inside = [node for node in found if _body_column(node) <= last <= (node.end_col_offset or 0)]
    return inside[-1] if inside else None


def _body_column(node: FunctionNode) -> int:
    return node.body.col_offset if isinstance(node, ast.Lambda) else node.col_offset


def forget_trees() -> None:
    """Drop what was parsed: an application that is loaded needs it no more. The texts stay."""
    _others.clear()
    for file, source in _defined.items():
        _defined[file] = Source(source.lines)


def _read(file: str, variables: dict[str, Any], sources: dict[str, Source]) -> Source:
    linecache.checkcache(file)  # a module may be written anew and loaded again
    lines = linecache.getlines(file, variables)
    known = sources.get(file)
    if known is None or known.lines is not lines:
        known = sources[file] = Source(lines)
    return known
