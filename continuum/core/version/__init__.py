"""The version of a workflow: a hash of what its code says, not of how it is laid out (D2).

It covers the function and, transitively, what it reaches in *its own code*: the module that the reaching code stands
in, and what is marked ``@pure``. That is

1. the functions that it names (``functions.py``), as it has been from the beginning;
2. then, if there are any (``reach.py``): the classes that it names, with their bases, and those of the values that come
   to it, if they have methods; the statements of the module that bind or change the names that it reads (constants,
   tables, partials, instances); the functions in such tables, in the registries of ``singledispatch``, and behind
   ``getattr``.

A hash without the second part is what it was before there was one. Activities and other workflows do not enter: they
are journaled, or versioned by themselves. Nor does what is Continuum's own (signals, policies), a logger, or a value
that the code is given: what counts is what the text says, so that every process that loads it computes the same.

The normal form is our own walk over the syntax tree, because ``ast.dump`` changes with Python versions. This module
imports the standard library only, so that any interpreter can be asked for a hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from types import FunctionType
from typing import Any

# Relative, because any interpreter can load this package alone.
from .functions import compiled, helpers_of, tree_of
from .names import function_of
from .normal import normal_form
from .reach import Reach
from .source import Read, Source, read_now

__all__ = ["Read", "Source", "normal_form", "read_now", "version_hash_of"]


def version_hash_of(fn: Callable[..., Any], read: Read = read_now) -> str:
    """Return the SHA-256 of the normalized syntax trees of ``fn`` and of what it reaches, in hexadecimal.

    ``read`` gives the source of a file as it was when the code was loaded. Of a function without source (made by
    ``exec``) the compiled code enters, which other Python versions do not share.
    """
    files: dict[str, Source] = {}

    def once(file: str, variables: dict[str, Any]) -> Source:
        if file not in files:
            files[file] = read(file, variables)
        return files[file]

    found = hashlib.sha256()
    reach = Reach(once)
    reached: dict[int, FunctionType] = {}
    queue = [function_of(fn)]
    while queue:
        function = queue.pop(0)
        if function is None or id(function) in reached:
            continue
        reached[id(function)] = function
        tree = tree_of(function, once)
        found.update(b"\n")
        if tree is None:
            found.update(compiled(function))
            continue
        found.update(normal_form(tree).encode())
        queue += helpers_of(tree, function)
        reach.begin_at(function, tree)
    for form in reach.forms():
        found.update(f"\n{form}".encode())
    return found.hexdigest()
