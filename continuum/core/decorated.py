"""The functions that can become workflows and activities, and words for all else that people decorate (D1)."""

from __future__ import annotations

import functools
import inspect
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Literal

Kind = Literal["workflow", "activity"]
_TAKES: dict[Kind, str] = {"workflow": "an async def", "activity": "a def or an async def"}


def decorated_function(given: object, kind: Kind, name: str | None) -> FunctionType:
    """Return the plain function that a decorator was given, also out of a ``staticmethod``.

    A run outlives the process: what is decorated must be found again by its name, with nothing bound to it.

    Raises:
        TypeError: it is something else; says what, and what to write instead.
    """
    function = given.__func__ if isinstance(given, staticmethod) else given
    if not isinstance(function, FunctionType):
        what, remedy = _other(given, kind)
    elif inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        what, remedy = "a generator: it yields", "return one value, a list for many"
    elif kind == "workflow" and not inspect.iscoroutinefunction(function):
        what, remedy = "none", "write `async def`" + _of_wrapper(function)
    elif _is_bound_later(function):
        what = "a method, whose object is not there when it is run again"
        remedy = f"write a function of the module, or a staticmethod, that takes what it needs of {_first(function)}"
    elif function.__name__ == "<lambda>" and name is None:
        what, remedy = "a lambda without a name", f"write `def`, or {kind}(name=...)(lambda ...)"
    else:
        return function
    shown = getattr(function, "__qualname__", None) or repr(given)
    raise TypeError(f"@{kind} takes {_TAKES[kind]}, and {shown} is {what}; {remedy}")


def _other(given: object, kind: Kind) -> tuple[str, str]:
    plain = f"write {_TAKES[kind]}"
    match given:
        case str():
            return "a text", f"write @{kind}(name={given!r}) for a name"
        case functools.partial():
            return "a partial, which has no name of its own", f"{plain} that calls it"
        case classmethod():
            return "a classmethod", "write a function of the module, or a staticmethod"
        case MethodType():
            return "bound to an object, which is not there when it is run again", f"{plain} of the module"
        case type():
            return "a class", f"{plain} that makes an object of it"
        case BuiltinFunctionType():
            return "built in", f"{plain} that calls it"
        case _ if callable(given):
            return f"an object of {type(given).__qualname__} that can be called", f"{plain} that calls it"
        case _:
            return "none", plain


def _is_bound_later(function: FunctionType) -> bool:
    """Whether it stands in a class and takes the object first, as far as names tell."""
    owner = function.__qualname__.rpartition(".")[0]
    return bool(owner) and not owner.endswith("<locals>") and _first(function) in ("self", "cls")


def _first(function: FunctionType) -> str:
    code = function.__code__
    return code.co_varnames[0] if code.co_argcount else ""


def _of_wrapper(function: FunctionType) -> str:
    is_wrapper = inspect.iscoroutinefunction(inspect.unwrap(function))
    return "; a decorator below this one has made a plain function of it" if is_wrapper else ""
