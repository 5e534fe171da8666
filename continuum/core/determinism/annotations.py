"""The instances that an annotation promises: the class of a parameter, a field, a result."""

from __future__ import annotations

import ast
import builtins
import collections.abc
import types
import typing
from collections.abc import Mapping
from typing import Any

from continuum.core.determinism.objects import member
from continuum.core.determinism.scopes import Surroundings
from continuum.core.determinism.values import Given, Instance, Known, Values

_CALLABLES = (collections.abc.Callable, typing.Callable)
Where = Surroundings | Mapping[str, Any]


def annotated(annotation: Any, where: Where, given: bool = False) -> Values:
    """The instances that an annotation promises: an expression, its text, or the object itself."""
    if isinstance(annotation, str):
        try:
            annotation = ast.parse(annotation, mode="eval").body
        except SyntaxError:
            return ()
    if isinstance(annotation, ast.AST):
        return _annotated_tree(annotation, where, given)
    return _annotated_object(annotation, where, given)


def _annotated_tree(node: ast.AST, where: Where, given: bool) -> Values:
    match node:
        case ast.Constant(value=str(text)):
            return annotated(text, where, given)
        case ast.BinOp(left=left, right=right, op=ast.BitOr()):
            return annotated(left, where, given) + annotated(right, where, given)
        case ast.Subscript(value=base, slice=parameters):
            parts = parameters.elts if isinstance(parameters, ast.Tuple) else [parameters]
            arguments = tuple(annotated(part, where, given) for part in parts)
            found = [value.obj for value in _static(base, where) if isinstance(value, Known)]
            return tuple(value for origin in found for value in _generic(origin, arguments, given))
        case ast.Name() | ast.Attribute():
            objects = [value.obj for value in _static(node, where) if isinstance(value, Known)]
            return tuple(value for obj in objects for value in _annotated_object(obj, where, given))
        case _:
            return ()


def _annotated_object(obj: Any, where: Where, given: bool) -> Values:
    origin = typing.get_origin(obj)
    if origin is not None:
        arguments = tuple(annotated(part, where, given) for part in typing.get_args(obj))
        return _generic(origin, arguments, given)
    if obj in _CALLABLES:
        return given_of(given)
    return (Instance(obj, given=given),) if isinstance(obj, type) and obj is not object else ()


def _generic(origin: Any, arguments: tuple[Values, ...], given: bool) -> Values:
    if origin is typing.Union or origin is types.UnionType or origin is typing.Optional:
        return tuple(value for argument in arguments for value in argument)
    if origin is typing.Annotated or origin is typing.Final or origin is typing.ClassVar:
        return arguments[0] if arguments else ()
    if origin in _CALLABLES:
        return given_of(given)
    origin = typing.get_origin(origin) or origin  # typing.List
    return (Instance(origin, arguments, given),) if isinstance(origin, type) else ()


def _static(node: ast.AST, where: Where) -> Values:
    """A name or dotted name in an annotation; one that is missing is no reason to look again later."""
    match node:
        case ast.Name(id=name):
            if isinstance(where, Surroundings):
                return where.lookup(name, required=False)
            found = where.get(name, vars(builtins).get(name))
            return (Known(found),) if found is not None else ()
        case ast.Attribute(value=base, attr=name):
            members = [member(value, name) for value in _static(base, where)]
            return tuple(value for value in members if value is not None)
        case _:
            return ()


def given_of(given: bool) -> Values:
    """Something of the input, or nothing that is known."""
    return (Given(),) if given else ()
