"""Loading the application: the modules that define workflows and activities."""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from continuum.core.definitions import Activity, Definition, Registry, Workflow, registry
from continuum.core.determinism.scan import settle_all
from continuum.core.determinism.sources import forget_trees
from continuum.errors import DeterminismError, NodeError

_PACKAGE = str(Path(__file__).parents[1])
_HASH_DIGITS = 12
_DOTTED_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True, slots=True)
class LoadedApp:
    """The names that the modules have brought into this process, sorted. ``versions``: each version of each workflow,
    as the workflow's name, an @, and the first digits of its hash."""

    workflows: tuple[str, ...]
    activities: tuple[str, ...]
    versions: tuple[str, ...] = ()


def load_app(modules: Sequence[str]) -> LoadedApp:
    """Import the modules, from the current folder too, and return what workflows and activities there are now.

    Raises:
        NodeError: a module does not exist, does not import, or has no workflow and no activity, or a
            workflow cannot be replayed; in one line.
    """
    if os.getcwd() not in sys.path and "" not in sys.path:  # noqa: PTH109 - sys.path holds text
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    for name in modules:
        module = _import(name)
        if not _has_definitions(name, module, registry):
            raise NodeError(
                f"{name} has no workflows and no activities ({_file_of(module)}); "
                "decorate functions with @workflow or @activity, or name another module"
            )
    _settle()
    versions = sorted(f"{name}@{version_hash[:_HASH_DIGITS]}" for name, version_hash in registry.versions())
    forget_trees()
    return LoadedApp(tuple(sorted(registry.workflows)), tuple(sorted(registry.activities)), tuple(versions))


def _settle() -> None:
    """Scan what the workflows use that stands below them in their modules."""
    try:
        settle_all()
    except DeterminismError as error:
        raise NodeError(" ".join(str(error).split())) from error


def _import(name: str) -> ModuleType:
    if not _DOTTED_NAME.fullmatch(name):
        raise NodeError(f"{name!r} is no module name; write it as in an import statement, such as shop.flows")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (error.name == name or name.startswith(error.name + ".")):
            raise NodeError(
                f"there is no module {error.name!r}; start in the folder that contains it, or install it"
            ) from error
        raise NodeError(_reason(name, error)) from error
    except (Exception, SystemExit) as error:  # a module may raise anything
        raise NodeError(_reason(name, error)) from error


def _reason(name: str, error: BaseException) -> str:
    text = " ".join(str(error).split())
    kind = type(error).__name__ + (": " if text else "")
    return f"{name} cannot be imported: {kind}{text} ({_place(error)}); correct it and start again"


def _place(error: BaseException) -> str:
    """``file:line`` in the application: the last frame that is not of the import machinery."""
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame
        for frame in frames
        if not frame.filename.startswith("<frozen importlib") and frame.filename != importlib.__file__
    ]
    user = [frame for frame in own if not frame.filename.startswith(_PACKAGE)]
    last = (user or own)[-1]
    return f"{last.filename}:{last.lineno}"


def _has_definitions(name: str, module: ModuleType, known: Registry) -> bool:
    """Whether the module defines, or passes on, a workflow or an activity."""
    if any(isinstance(value, Workflow | Activity) for value in vars(module).values()):
        return True
    definitions: list[Definition[..., object]] = [*known.workflows.values(), *known.activities.values()]
    modules = [d.fn.__module__ or "" for d in definitions]  # a function that was made by exec may have none
    return any(module == name or module.startswith(name + ".") for module in modules)


def _file_of(module: ModuleType) -> str:
    return module.__file__ or "a package without __init__.py"
