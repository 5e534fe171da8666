"""A value that does not fit its annotation, on the way from where it was seen to where the path is known.

Restorers know nothing of the place of their value: each container adds its own step while the fault
passes through it, so that values that fit pay nothing for paths.
"""

from __future__ import annotations

import types
import typing

from continuum.errors import PayloadError
from continuum.model.path import describe, shorten


class Mismatch(Exception):  # noqa: N818 - it never leaves this package; `PayloadError` does
    """``outright``: the value as a whole is of another kind, so another member of a union may be meant."""

    def __init__(self, text: str, *, outright: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.outright = outright
        self._steps: list[str] = []

    def step(self, step: str) -> None:
        """Prepend one step of the path; from here on the fault is inside something that fits."""
        self._steps.append(step)
        self.outright = False

    @property
    def depth(self) -> int:
        return len(self._steps)

    @property
    def path(self) -> str:
        return "".join(reversed(self._steps))

    def as_error(self, root: str) -> PayloadError:
        return PayloadError(self.text, path=shorten(root + self.path))


def unexpected(annotation: object, value: object) -> Mismatch:
    return Mismatch(f"expected {name_of(annotation)}, got {describe(value)}", outright=True)


def name_of(annotation: object) -> str:
    """An annotation as its author would write it: ``Decimal``, ``list[Order]``, ``int | None``."""
    if annotation is None or annotation is type(None):
        return "None"
    if annotation is Ellipsis:
        return "..."
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return name_of(parts[0])
    if origin is typing.Union or origin is types.UnionType:
        return " | ".join(name_of(part) for part in parts)
    if origin is typing.Literal:
        return f"Literal[{', '.join(map(repr, parts))}]"
    if origin is not None:
        return f"{name_of(origin)}[{', '.join(name_of(part) for part in parts)}]"
    return str(getattr(annotation, "__name__", annotation))
