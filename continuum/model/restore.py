"""Typed values from decoded payloads, by the annotations of whoever receives them.

A payload holds plain values only; ``def charge(order: Order) -> Receipt`` says what its arguments and
its result are. What fits becomes exactly that; what does not is a `PayloadError` that names the place
and both types. What is annotated with nothing stays as it was decoded.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from continuum.model.completion import completed, may_draw
from continuum.model.hints import function_hints, signature
from continuum.model.mismatch import Mismatch
from continuum.model.path import at_index, at_key
from continuum.model.plain import SCALAR_TYPES
from continuum.model.record import Restore
from continuum.model.shape import compile_annotation, identity

__all__ = ["DrawingRestorer", "SignatureRestorer", "identity", "restorer", "signature_restorers"]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def restorer(annotation: object, *, path: str = "value") -> Restore:
    """The function that makes a decoded value one of type ``annotation``; `identity` when that says nothing.

    Keep it: making one costs more than using it. The function raises `PayloadError` for a value that
    does not fit, with a path that begins at ``path``.
    """
    restore = compile_annotation(annotation)
    if restore is identity:
        return identity
    if may_draw(annotation):
        return DrawingRestorer(restore, path)

    def restore_at_path(value: object) -> object:
        try:
            return restore(value)
        except Mismatch as fault:
            raise fault.as_error(path) from fault.__cause__

    return restore_at_path


class DrawingRestorer:
    """A restorer of a type whose missing fields could be another's the next time."""

    __slots__ = ("_path", "_restore")

    def __init__(self, restore: Restore, path: str) -> None:
        self._restore, self._path = restore, path

    def __call__(self, value: object) -> object:
        try:
            return self._restore(value)
        except Mismatch as fault:
            raise fault.as_error(self._path) from fault.__cause__

    def completed(self, value: bytes) -> bytes:
        """Return the payload that is to be kept for ``value``."""
        return completed(self._restore, value)


def signature_restorers(fn: Callable[..., Any]) -> SignatureRestorer:
    """What restores arguments and results of ``fn``. Keep it with ``fn``: it is not cached."""
    return SignatureRestorer(fn)


class SignatureRestorer:
    """Checks, and restores, what goes into a function and what comes out of it.

    Annotations are resolved at the first restore, when the names they use are defined. A parameter
    whose annotation cannot be resolved takes its value as it was decoded.

    ``counts``: numbers of positional arguments that `bind` takes if there are no others. ``plain_result``: the type
    whose values are results as they are; None if there is none, or before the first restore. ``takes_nothing``: the
    function can be called without arguments.
    """

    def __init__(self, fn: Callable[..., Any]) -> None:
        self._fn = fn
        self._signature = signature(fn)
        self._restorers: _Restorers | None = None
        parameters = self._signature.parameters.values()
        positional = [p for p in parameters if p.kind in _POSITIONAL]
        required = [p for p in positional if p.default is p.empty]
        others = [p for p in parameters if p.kind not in _POSITIONAL]
        # Numbers of positional arguments that are known to fit without looking closer.
        simple = all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in others)
        self.counts = frozenset(range(len(required), len(positional) + 1) if simple else ())
        self.plain_result: type | None = None
        self.takes_nothing = not any(
            p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters
        )

    def bind(self, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
        """Check that ``fn(*args, **kwargs)`` could be called.

        Raises:
            TypeError: it could not, with the words of `inspect.Signature.bind`.
        """
        if not kwargs and len(args) in self.counts:
            return
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError as error:
            name = getattr(self._fn, "__qualname__", repr(self._fn))
            raise TypeError(f"{name}() {error}; its signature is {name}{self._signature}") from None

    def restore_arguments(
        self, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> tuple[tuple[object, ...], dict[str, object]]:
        """The arguments as their parameters' annotations say. Does not `bind`: surplus ones stay as they are.

        Raises:
            PayloadError: one does not fit; the path begins with ``args[0]`` or ``kwargs['name']``.
        """
        restorers = self._restorers or self._resolve()
        if tuple(map(type, args)) in restorers.plain:
            restored = tuple(args)
        else:
            restored = tuple(
                _restore_at(restorers.at(i), arg, "args", at_index(i)) for i, arg in enumerate(args)
            )
        if not kwargs:
            return restored, {}
        return restored, {
            name: _restore_at(
                restorers.named.get(name, restorers.surplus_named), value, "kwargs", at_key(name)
            )
            for name, value in kwargs.items()
        }

    def restore_result(self, value: object) -> object:
        """The result as the return annotation says.

        Raises:
            PayloadError: it does not fit; the path begins with ``result``.
        """
        restorers = self._restorers or self._resolve()
        if type(value) is self.plain_result:
            return value
        try:
            return restorers.result(value)
        except Mismatch as fault:
            raise fault.as_error("result") from fault.__cause__

    def completed_result(self, value: bytes) -> bytes:
        """Return the payload that is to be kept for one that came as a result."""
        restorers = self._restorers or self._resolve()
        return completed(restorers.result, value) if restorers.result_draws else value

    def completed_arguments(self, args: bytes) -> bytes:
        """Return the payload that is to be kept for one that came as arguments, ``[positional, named]``."""
        return completed(self._restore_both, args)

    @property
    def arguments_draw(self) -> bool:
        """True if restoring arguments could draw from outside: see model/completion."""
        return (self._restorers or self._resolve()).arguments_draw

    def _restore_both(self, decoded: Any) -> object:
        args, kwargs = self.restore_arguments(*decoded)
        return [list(args), kwargs]

    def _resolve(self) -> _Restorers:
        hints = function_hints(self._fn)
        self._restorers = restorers = _Restorers(self._signature, hints)
        self.plain_result = _plain_type(hints.get("return", Any))
        return restorers


def _restore_at(restore: Restore, value: object, root: str, step: str) -> object:
    try:
        return restore(value)
    except Mismatch as fault:
        raise fault.as_error(root + step) from fault.__cause__


class _Restorers:
    """The restorers of one signature, by position and by name."""

    def __init__(self, signature: inspect.Signature, hints: Mapping[str, object]) -> None:
        parameters = list(signature.parameters.values())
        of = {p.name: compile_annotation(hints.get(p.name, Any)) for p in parameters}
        positional = [p.name for p in parameters if p.kind in _POSITIONAL]
        self._positional = [of[name] for name in positional]
        self.named = {p.name: of[p.name] for p in parameters if p.kind in _NAMED}
        self._surplus: Restore = identity
        self.surplus_named: Restore = identity
        for parameter in parameters:
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                self._surplus = of[parameter.name]
            elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
                self.surplus_named = of[parameter.name]
        self.result = compile_annotation(hints.get("return", Any))
        self.result_draws = may_draw(hints.get("return", Any))
        self.arguments_draw = any(may_draw(hints.get(p.name, Any)) for p in parameters)
        self.plain = _plain_prefixes([hints.get(name, Any) for name in positional])

    def at(self, index: int) -> Restore:
        return self._positional[index] if index < len(self._positional) else self._surplus


def _plain_type(annotation: object) -> type | None:
    """The type that an annotation with a scalar wants, of whose values nothing needs restoring; else None."""
    kind = type(None) if annotation is None else annotation
    return kind if isinstance(kind, type) and kind in SCALAR_TYPES else None


def _plain_prefixes(annotations: list[object]) -> frozenset[tuple[type, ...]]:
    """The rows of types that need no restoring: as many leading parameters as are annotated with scalars."""
    rows: set[tuple[type, ...]] = {()}
    row: tuple[type, ...] = ()
    for annotation in annotations:
        kind = _plain_type(annotation)
        if kind is None:
            break
        row = (*row, kind)
        rows.add(row)
    return frozenset(rows)
