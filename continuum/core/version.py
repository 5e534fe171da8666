"""The version of a workflow: a hash of what its code says, not of how it is laid out (D2).

It covers the function and, transitively, the helpers that it reaches: functions of the module that refers to them,
and those marked ``@pure``. Activities and other workflows are no helpers: they are journaled, or versioned by
themselves. Nor are the values of global constants, or a helper that is passed in as an argument.

The normal form is our own walk over the syntax tree, because ``ast.dump`` changes with Python versions. This module
imports the standard library only, so that any interpreter can be asked for a hash.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any

# Fields that say nothing about what the code does, or that some Python versions do not have.
_SILENT = frozenset({"type_comment", "type_params", "annotation", "returns", "ctx", "kind"})
_OWN = "continuum"
_PURE = "__continuum_pure__"
_NOTHING = object()


def version_hash_of(fn: Callable[..., Any]) -> str:
    """Return the SHA-256 of the normalized syntax trees of ``fn`` and of the helpers it reaches, in hexadecimal.

    Of a function without source (made by ``exec``) the compiled code enters, which other Python versions do not share.
    """
    found = hashlib.sha256()
    reached: dict[int, FunctionType] = {}
    queue = [_function(fn)]
    while queue:
        function = queue.pop(0)
        if function is None or id(function) in reached:
            continue
        reached[id(function)] = function
        tree = _tree(function)
        found.update(b"\n")
        if tree is None:
            code = function.__code__
            found.update(code.co_code + ascii((code.co_names, code.co_varnames)).encode())
            continue
        if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef):
            tree.name = "_"
            tree.decorator_list = [each for each in tree.decorator_list if not _is_ours(each, function)]
        found.update("".join(_normal_form(tree)).encode())
        queue += _helpers(tree, function)
    return found.hexdigest()


def _tree(function: FunctionType) -> ast.stmt | None:
    """The statement that defines the function, None if its source is not there."""
    try:
        source = inspect.getsource(function)
        if source[:1].isspace():  # a block of its own: dedenting would change texts of several lines
            block = ast.parse("if 1:\n" + source).body[0]
            return block.body[0] if isinstance(block, ast.If) else None
        return ast.parse(source).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return None


# -- the helpers


def _helpers(tree: ast.AST, function: FunctionType) -> Iterator[FunctionType | None]:
    """What the code of ``function`` names and what counts, in the order of the text.

    A local name that is also a global one is taken for the global: a helper too many is a version too many at worst.
    """
    scope = ChainMap(_imported(tree, function), _scope(function))  # type: ignore[arg-type]  # both are only read
    for node in _parts(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            named = _resolve(node, scope)
            helper = None if named is _NOTHING else _function(named)
            if helper is not None and (_counts(helper, function) or _is_marked(named)):
                yield helper


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    """The node and what is below it, in the order of the text, without what is silent."""
    yield node
    for name, value in ast.iter_fields(node):
        if name not in _SILENT:
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, ast.AST):
                    yield from _parts(item)


def _scope(function: FunctionType) -> Mapping[str, object]:
    """The names that the code may use: what it closes over, and globals."""
    names: dict[str, object] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return ChainMap(names, function.__globals__)


def _imported(tree: ast.AST, function: FunctionType) -> dict[str, object]:
    """What the body itself imports from its own package; other packages are not loaded for the sake of a hash."""
    names: dict[str, object] = {}
    package = (function.__module__ or "").partition(".")[0]
    own = function.__globals__.get("__package__") or ""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            parts = own.split(".")[: len(own.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*parts, *([node.module] if node.module else [])])
            if module.partition(".")[0] == package:
                loaded = _load(module)
                for alias in node.names:
                    value = getattr(loaded, alias.name, None) or _load(f"{module}.{alias.name}")
                    names[alias.asname or alias.name] = value
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == package:
                    loaded = _load(alias.name)
                    names[alias.asname or package] = loaded if alias.asname else sys.modules.get(package)
    return names


def _load(name: str) -> ModuleType | None:
    try:
        __import__(name)
    except Exception:  # noqa: BLE001 - a module may raise anything; the code that imports it will say so
        return None
    return sys.modules.get(name)


def _resolve(node: ast.expr, scope: Mapping[str, object]) -> object:
    """The object that ``a`` or ``a.b.c`` names, without running anything of its own: modules and classes only."""
    if isinstance(node, ast.Name):
        return scope.get(node.id, _NOTHING)
    if isinstance(node, ast.Attribute):
        holder = _resolve(node.value, scope)
        if isinstance(holder, ModuleType):
            return vars(holder).get(node.attr, _NOTHING)
        if isinstance(holder, type):
            return inspect.getattr_static(holder, node.attr, _NOTHING)
    return _NOTHING


def _function(value: object) -> FunctionType | None:
    """The plain function behind decorators, partials and methods; None for what has none, or is ours."""
    for _ in range(100):
        if isinstance(value, FunctionType):
            inner = value.__dict__.get("__wrapped__")
            if inner is None:
                return value
            value = inner
        elif type(value).__module__.partition(".")[0] == _OWN:
            return None  # an activity or a workflow
        elif isinstance(value, partial):
            value = value.func
        elif isinstance(value, MethodType | staticmethod | classmethod):
            value = value.__func__
        else:
            value = getattr(value, "__wrapped__", None)  # of a cached function
    return None


def _counts(helper: FunctionType, user: FunctionType) -> bool:
    return (
        helper.__module__ == user.__module__
        or _is_marked(helper)
        or _is_marked(sys.modules.get(helper.__module__))
    )


def _is_marked(value: object) -> bool:
    return getattr(value, _PURE, False) is True


def _is_ours(decorator: ast.expr, function: FunctionType) -> bool:
    """Whether a decorator is one of Continuum's, which say how the function is registered and not what it does."""
    named = _resolve(decorator.func if isinstance(decorator, ast.Call) else decorator, _scope(function))
    return str(getattr(named, "__module__", "")).partition(".")[0] == _OWN


# -- the normal form


def normal_form(node: ast.AST) -> str:
    """Return what the tree says, in a text that is the same on every supported Python."""
    return "".join(_normal_form(node))


def _normal_form(node: object) -> Iterator[str]:
    if isinstance(node, ast.AST):
        yield f"({type(node).__name__}"
        for name, value in ast.iter_fields(node):
            if name in _SILENT or value is None or value == [] or _is_empty_format(name, value):
                continue
            yield f" {name}="
            if name == "body" and isinstance(value, list):
                yield from _list(
                    _statements(value, isinstance(node, ast.ClassDef), isinstance(node, _DOCUMENTED))
                )
            elif name in ("orelse", "finalbody") and isinstance(value, list):
                yield from _list(_statements(value, False, False))
            elif isinstance(node, ast.JoinedStr):
                yield from _list(_merged(value))
            else:
                yield from _normal_form(value)
        yield ")"
    elif isinstance(node, list):
        yield from _list(node)
    else:
        yield ascii(node)  # repr() shows what the interpreter's own edition of Unicode calls printable


def _list(items: list[Any]) -> Iterator[str]:
    yield "["
    for item in items:
        yield from _normal_form(item)
    yield "]"


_DOCUMENTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _statements(body: list[ast.stmt], in_class: bool, documented: bool) -> list[ast.stmt]:
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
