"""What the names of a text stand for, found without running any code of theirs."""

from __future__ import annotations

import ast
import inspect
import sys
from collections import ChainMap
from collections.abc import Mapping
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any

OWN = "continuum"
_PURE = "__continuum_pure__"
NOTHING = object()


def resolve(node: ast.expr, scope: Mapping[str, object]) -> object:
    """The object that ``a`` or ``a.b.c`` names, without running anything of its own: modules and classes only."""
    if isinstance(node, ast.Name):
        return scope.get(node.id, NOTHING)
    if isinstance(node, ast.Attribute):
        holder = resolve(node.value, scope)
        if isinstance(holder, ModuleType):
            return vars(holder).get(node.attr, NOTHING)
        if isinstance(holder, type):
            return inspect.getattr_static(holder, node.attr, NOTHING)
    return NOTHING


def scope_of(function: FunctionType) -> Mapping[str, object]:
    """The names that the code may use: what it closes over, and globals."""
    return ChainMap(closed_over(function), function.__globals__)


def closed_over(function: FunctionType) -> dict[str, object]:
    names: dict[str, object] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return names


def imported_by(tree: ast.AST, function: FunctionType) -> dict[str, object]:
    """What the body itself imports from its own package; other packages are not loaded for the sake of a hash."""
    names: dict[str, object] = {}
    package = (function.__module__ or "").partition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = module_named(node, function.__globals__)
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


def module_named(node: ast.ImportFrom, variables: Mapping[str, object]) -> str:
    """The full name of the module that ``from ..x import y`` means in a module with these globals."""
    own = str(variables.get("__package__") or "").split(".")
    parts = own[: len(own) - node.level + 1] if node.level else []
    return ".".join([*parts, *([node.module] if node.module else [])])


def _load(name: str) -> ModuleType | None:
    try:
        __import__(name)
    except Exception:  # noqa: BLE001 - a module may raise anything; the code that imports it will say so
        return None
    return sys.modules.get(name)


def function_of(value: object) -> FunctionType | None:
    """The plain function behind decorators, partials and methods; None for what has none, or is ours."""
    for _ in range(100):
        if isinstance(value, FunctionType):
            inner = value.__dict__.get("__wrapped__")
            if inner is None:
                return value
            value = inner
        elif module_of(type(value)).partition(".")[0] == OWN:
            return None  # an activity or a workflow
        elif isinstance(value, partial):
            value = value.func
        elif isinstance(value, MethodType | staticmethod | classmethod):
            value = value.__func__
        else:
            value = getattr(value, "__wrapped__", None)  # of a cached function
    return None


def is_marked(value: object) -> bool:
    if isinstance(value, type):
        return any(of_class(base, "__dict__").get(_PURE) is True for base in of_class(value, "__mro__"))
    return getattr(value, _PURE, False) is True


def of_class(cls: type, name: str) -> Any:
    """What a class is by itself, past what its metaclass answers."""
    return type.__getattribute__(cls, name)


def module_of(cls: type) -> str:
    return str(of_class(cls, "__module__"))


def is_ours(decorator: ast.expr, scope: Mapping[str, object]) -> bool:
    """Whether a decorator is one of Continuum's, which say how the function is registered and not what it does."""
    named = resolve(decorator.func if isinstance(decorator, ast.Call) else decorator, scope)
    return str(getattr(named, "__module__", "")).partition(".")[0] == OWN
