"""The names of workflows and activities: ``module.qualname``, of the module as a node imports it.

A file that is run as a program is called ``__main__``, or ``__mp_main__`` in a process that ``multiprocessing`` has
started, or whatever a profiler or ``runpy`` calls it. Its own globals say how it is imported: by its spec, if it was
found as a module, else by its file and the packages around that. Code without a file (standard input, ``-c``, an
interactive session) has no such name: it is refused where a run of it would begin to wait for ever.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

PROGRAM = "__main__"
_PROGRAMS = frozenset({PROGRAM, "__mp_main__"})
_SUFFIXES = (".py", ".pyc")


def name_of(fn: Callable[..., Any]) -> str:
    """Return ``module.qualname``, with ``__main__`` as the module of what nobody can import."""
    module = fn.__module__
    if _is_program(module):
        module = _module_of(fn) or PROGRAM
    return f"{module}.{fn.__qualname__}"


def unreachable(fn: Callable[..., Any]) -> str | None:
    """Say why no node can import the function, None if one can, as far as its module tells."""
    if not _is_program(fn.__module__):
        return None
    module = _module_of(fn)
    if module is None:
        return (
            f"{fn.__qualname__} is defined in a program that no node can import: standard input, -c, an interactive "
            "session, or a file that is no module"
        )
    if not all(part.isidentifier() for part in module.split(".")):
        return f"{fn.__qualname__} is defined in a file that no node can import: {module!r} is no name of a module"
    return None


def importable_name(module: str) -> str | None:
    """Return the name by which a node imports what this process calls ``module``; None if there is none."""
    return module_name(vars(sys.modules[module])) if module in _PROGRAMS and module in sys.modules else module


def module_name(names: Mapping[str, Any]) -> str | None:
    """Return how a program is imported whose globals are ``names``; None if it cannot be."""
    spec = getattr(names.get("__spec__"), "name", None)
    if isinstance(spec, str) and not _is_program(spec):
        return spec
    file = names.get("__file__")
    if not isinstance(file, str) or not file.endswith(_SUFFIXES):
        return None
    name = _name_of_file(Path(file))
    return None if name == PROGRAM else name


def _is_program(module: str | None) -> bool:
    """Whether a module's name is none that an import statement takes."""
    return not module or module in _PROGRAMS or module.startswith("<")


def _module_of(fn: Callable[..., Any]) -> str | None:
    inner = inspect.unwrap(fn)
    if inner.__code__.co_filename.startswith("<"):
        return None  # typed in, or made by exec: it is in no file
    names = inner.__globals__
    if names.get("__name__") != fn.__module__ and fn.__module__ in sys.modules:
        names = vars(sys.modules[fn.__module__])  # a decorator's function, that carries the name of ours
    return module_name(names)


def is_same_place(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Whether two functions stand under one name in one file, whichever way its path was written: a program is run by a
    path of its user's, and imported by one of the interpreter's."""
    files = [Path(fn.__code__.co_filename) for fn in (one, other)]
    return one.__qualname__ == other.__qualname__ and (
        files[0] == files[1] or files[0].resolve() == files[1].resolve()
    )


def _name_of_file(file: Path) -> str:
    """The dotted name of a script: its folders upwards as long as they are packages."""
    parts = [file.stem]
    folder = file.resolve().parent
    while (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts)
