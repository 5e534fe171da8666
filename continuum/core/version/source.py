"""The text of a file, and what stands where in it."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

DefinitionNode = ast.FunctionDef | ast.AsyncFunctionDef


class Source:
    """The text of a file and what stands where in it."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines

    @cached_property
    def tree(self) -> ast.Module:
        try:
            return ast.parse("".join(self.lines))
        except (SyntaxError, ValueError):
            return ast.Module([], [])

    @cached_property
    def functions(self) -> dict[tuple[int, str], list[DefinitionNode | ast.Lambda]]:
        """By first line, that of the first decorator, and name: what a code object knows of itself."""
        found: dict[tuple[int, str], list[DefinitionNode | ast.Lambda]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Lambda):
                found.setdefault((node.lineno, "<lambda>"), []).append(node)
            elif isinstance(node, DefinitionNode):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                found.setdefault((first, node.name), []).append(node)
        return found

    @cached_property
    def classes(self) -> dict[str, list[ast.ClassDef]]:
        """By qualified name."""
        found: dict[str, list[ast.ClassDef]] = {}

        def walk(node: ast.AST, prefix: str) -> None:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.ClassDef):
                    found.setdefault(prefix + child.name, []).append(child)
                    walk(child, f"{prefix}{child.name}.")
                elif isinstance(child, DefinitionNode):
                    walk(child, f"{prefix}{child.name}.<locals>.")
                else:
                    walk(child, prefix)

        walk(self.tree, "")
        return found

    @cached_property
    def bindings(self) -> dict[str, list[ast.stmt]]:
        """The statements of the module, outside of its functions and classes, that bind or change each name."""
        found: dict[str, list[ast.stmt]] = {}
        for statement in _outer_statements(self.tree.body):
            for name in dict.fromkeys(_bound_names(statement)):
                found.setdefault(name, []).append(statement)
        return found

    @cached_property
    def imports(self) -> dict[str, tuple[ast.ImportFrom, str]]:
        """What the module imports from others: the statement, and the name there."""
        return {
            alias.asname or alias.name: (statement, alias.name)
            for statement in _outer_statements(self.tree.body)
            if isinstance(statement, ast.ImportFrom)
            for alias in statement.names
        }


Read = Callable[[str, dict[str, Any]], Source]


def read_now(file: str, variables: dict[str, Any]) -> Source:
    """Return what a file says now; ``variables`` are the globals of its module, which know the loader."""
    linecache.checkcache(file)
    return Source(linecache.getlines(file, variables))


def _outer_statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, with those in its ``if``, ``try``, ``with`` and ``match``."""
    for statement in body:
        if isinstance(statement, ast.If | ast.Try | ast.TryStar | ast.With | ast.Match):
            for name in ("body", "orelse", "finalbody", "handlers", "cases"):
                parts = getattr(statement, name, [])
                for part in parts:
                    inner = part.body if isinstance(part, ast.ExceptHandler | ast.match_case) else [part]
                    yield from _outer_statements(inner)
        else:
            yield statement


def _bound_names(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement binds, or whose object it changes: ``x = ..``, ``x[..] = ..``, ``x.append(..)``."""
    match statement:
        case ast.Assign(targets=targets) | ast.Delete(targets=targets):
            yield from (name for target in targets for name in _roots(target))
        case ast.AugAssign(target=target):
            yield from _roots(target)
        case ast.AnnAssign(target=target, value=value) if value is not None:
            yield from _roots(target)
        case (
            ast.Expr(value=ast.Call(func=ast.Attribute(value=changed)))
            | ast.Expr(value=ast.Call(func=ast.Name(id="setattr"), args=[changed, *_]))
            | ast.Expr(value=ast.NamedExpr(target=changed))
        ):
            yield from _roots(changed)
        case ast.For(body=body, target=target):
            yield from _roots(target)
            yield from (name for inner in _outer_statements(body) for name in _bound_names(inner))
        case ast.While(body=body):
            yield from (name for inner in _outer_statements(body) for name in _bound_names(inner))
        case _:
            return


def _roots(target: ast.expr) -> Iterator[str]:
    match target:
        case ast.Name(id=name):
            yield name
        case ast.Attribute(value=inner) | ast.Subscript(value=inner) | ast.Starred(value=inner):
            yield from _roots(inner)
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            for element in elements:
                yield from _roots(element)
        case _:
            return
