"""Which function a side effect runs: its qualified name and its code, as one text that a journal keeps (R10).

The code is told by its normalized syntax tree, as versions are (D2): reformatting changes nothing, and any Python makes
the same of it. What has no source to be read is known by its name alone.
"""

from __future__ import annotations

import functools
import hashlib
from functools import lru_cache
from types import CodeType, FunctionType, MethodType

from continuum.core.determinism.sources import node_of
from continuum.core.version import normal_form

_DIGITS = 12


def fingerprint_of(fn: object, workflow: str) -> str:
    """Return the text of ``fn``. ``workflow``: the qualified name of the workflow's own function, which may be called
    otherwise in another version; names inside it are told without."""
    while isinstance(fn, functools.partial | MethodType):
        fn = fn.func if isinstance(fn, functools.partial) else fn.__func__
    name = getattr(fn, "__qualname__", None) or type(fn).__qualname__
    name = name.removeprefix(f"{workflow}.<locals>.")
    code = _code(fn.__code__) if isinstance(fn, FunctionType) else ""
    return f"{name}#{code}"


def name_in(fingerprint: str) -> str:
    """Return the name of the function, for people."""
    return fingerprint.rpartition("#")[0]


def is_same(one: str, other: str) -> bool:
    """Say whether two texts are of one function, as far as both of them tell."""
    (name, _, code), (other_name, _, other_code) = one.rpartition("#"), other.rpartition("#")
    return name == other_name and (code == other_code or not (code and other_code))


@lru_cache(maxsize=4096)
def _code(code: CodeType) -> str:
    node = node_of(code)
    return "" if node is None else hashlib.sha256(normal_form(node).encode()).hexdigest()[:_DIGITS]
