"""What an expression of workflow code can be, as far as the scan can tell.

An expression has several values (a variable that is assigned twice, the two sides of ``or``); none at all means that
nothing is known. What is not known is not reported: the guard is there for it.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from continuum.core.determinism.scopes import Scope


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """An object itself. ``name`` is the dotted name by which it was reached, where there is one."""

    obj: object
    name: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """Something of a module that is not loaded: its name is all there is."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """Some object of a class, with the parameters of a generic one. ``given``: it came with the run's input."""

    cls: type
    args: tuple[Values, ...] = ()
    given: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Display:
    """A container that was written down, so that its items are known."""

    cls: type
    items: tuple[Values, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """Something of the run's input of which no class is known."""


@dataclass(frozen=True, slots=True, eq=False)
class Local:
    """A function or lambda that is defined inside the one that is scanned."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    scope: Scope


@dataclass(frozen=True, slots=True, eq=False)
class Getter:
    """What ``operator.attrgetter`` and ``methodcaller`` return: it takes these dotted attributes of its argument."""

    paths: tuple[str, ...]


Value = Union[Known, Named, Instance, Display, Given, Local, Getter]  # noqa: UP007 - names that come later
Values = tuple[Value, ...]
