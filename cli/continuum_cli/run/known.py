"""The workflow that a name on the command line means: imported here if it can be, else by what nodes registered.

Only code that is imported here can check the arguments before a run is started.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import sys
from typing import Any

from continuum.core.definitions import Workflow, registry
from continuum_cli.failing import USAGE, Refusal, one_line

_CLOSE_MAX = 3


def imported_workflow(name: str) -> Workflow[..., Any] | None:
    """Import the module that ``name`` names, from the current folder too; None if it brings no such workflow.

    Raises:
        Refusal: the name is that of an activity.
    """
    folder = os.getcwd()  # noqa: PTH109 - sys.path holds text
    if folder not in sys.path and "" not in sys.path:
        sys.path.insert(0, folder)
    module = _module_of(name)
    if module is None:
        return None
    try:
        importlib.import_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a module may raise anything
        reason = one_line(f"{type(error).__name__}: {error}")
        print(
            f"warning: {module} cannot be imported here ({reason}); the arguments are not checked",
            file=sys.stderr,
        )
        return None
    if name in registry.activities:
        raise Refusal(
            f"{name} is an activity; nothing was started. Only workflows are started: write one that awaits it",
            USAGE,
        )
    return registry.workflows.get(name)


def refuse_unknown(name: str, registered: list[str]) -> None:
    """Raise unless a node has registered the name.

    Raises:
        Refusal: it is unknown; names the close ones, if there are any.
    """
    if name in registered:
        return
    known = sorted({*registered, *registry.workflows})
    close = difflib.get_close_matches(name, known, _CLOSE_MAX, cutoff=0.5)
    same_end = [each for each in known if each.rpartition(".")[2] == name.rpartition(".")[2]]
    near = list(dict.fromkeys([*same_end, *close]))[:_CLOSE_MAX]
    hint = f"did you mean {' or '.join(near)}?" if near else "no node has registered one like it."
    raise Refusal(
        f"unknown workflow {name}; nothing was started. {hint} "
        "Check the name and the folder, or pass --allow-unknown to start a run that waits for a node with it",
        USAGE,
    )


def _module_of(name: str) -> str | None:
    """The longest part of the dotted name, without its last one, that is a module which can be found."""
    module = name.rpartition(".")[0]
    while module:
        try:
            if importlib.util.find_spec(module) is not None:
                return module
        except (Exception, SystemExit):  # noqa: BLE001 - it imports the packages above, which may raise anything
            if importlib.util.find_spec(module.partition(".")[0]) is not None:
                return module
        module = module.rpartition(".")[0]
    return None
