"""The version of a workflow: a hash of what its code says, not of how it is laid out (D2).

The normal form is our own walk over the syntax tree, because ``ast.dump`` changes with Python versions.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

# Fields that say nothing about what the code does, or that some Python versions do not have.
_SILENT = frozenset({"type_comment", "type_params", "annotation", "returns", "decorator_list", "ctx", "kind"})


def version_hash_of(fn: Callable[..., Any]) -> str:
    """Return the SHA-256 of ``fn``'s normalized syntax tree, in hexadecimal.

    Without source (a function made by ``exec``) it is the hash of its compiled code, which other Python versions
    do not share.
    """
    try:
        source = textwrap.dedent(inspect.getsource(fn))
        tree = ast.parse(source).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        code = fn.__code__
        return hashlib.sha256(code.co_code + repr((code.co_names, code.co_varnames)).encode()).hexdigest()
    if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef):
        tree.name = "_"
    return hashlib.sha256("".join(_normal_form(tree)).encode()).hexdigest()


def _normal_form(node: object) -> Iterator[str]:
    if isinstance(node, ast.AST):
        yield f"({type(node).__name__}"
        for name, value in ast.iter_fields(node):
            if name in _SILENT or value is None or value == []:
                continue
            yield f" {name}="
            yield from _normal_form(_without_docstring(value) if name == "body" else value)
        yield ")"
    elif isinstance(node, list):
        yield "["
        for item in node:
            yield from _normal_form(item)
        yield "]"
    else:
        yield repr(node)


def _without_docstring(body: Any) -> Any:
    """The statements of a function or class; the body of a lambda is an expression and stays."""
    first = body[0] if isinstance(body, list) else None
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        return body[1:]
    return body
