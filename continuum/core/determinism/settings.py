"""What this process trusts beyond the standard library, and where findings go. One state for all scans."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Literal

from continuum.errors import ConfigurationError, DeterminismError, DeterminismWarning, Finding

UntrustedCalls = Literal["warn", "error"]
PURE = "__continuum_pure__"
# Libraries that only make and check values.
_VALUE_LIBRARIES = frozenset({"attr", "attrs", "msgspec", "pydantic", "pydantic_core", "typing_extensions"})

_trusted: tuple[str, ...] = ()
_untrusted_calls: UntrustedCalls = "warn"
_pure_modules: set[str] = set()
_collected: list[Finding] | None = None
_generation = 0


def trust(modules: Sequence[str] | None = None, untrusted_calls: UntrustedCalls | None = None) -> None:
    """Set the modules, with all below them, whose functions workflows may call without a warning, and what any other
    call is. None leaves a setting as it is. It holds for workflows that are defined later.

    Raises:
        ConfigurationError: a name is no text, or the choice does not exist; nothing was changed.
    """
    global _trusted, _untrusted_calls, _generation
    if modules is not None and (isinstance(modules, str) or not all(isinstance(m, str) for m in modules)):
        raise ConfigurationError(f"trusted_modules is a list of module names, not {modules!r}")
    if untrusted_calls not in (None, "warn", "error"):
        raise ConfigurationError(f'untrusted_calls is "warn" or "error", not {untrusted_calls!r}')
    _trusted = _trusted if modules is None else tuple(modules)
    _untrusted_calls = untrusted_calls or _untrusted_calls
    _generation += 1


def generation() -> int:
    """A number that changes with the settings: what was found under others is found anew."""
    return _generation


def mark_pure(target: Callable[..., object] | ModuleType) -> None:
    """Remember that a function, or what a module defines, is scanned where a workflow calls it."""
    global _generation
    if isinstance(target, ModuleType):
        _generation += 1
        _pure_modules.add(target.__name__)
    setattr(target, PURE, True)  # the version of a workflow counts what has this mark


def is_pure(function: object, module: str) -> bool:
    return getattr(function, PURE, False) is True or module in _pure_modules


def is_trusted(module: str) -> bool:
    """Whether a module's functions may be called as they are: the standard library's, ours, and those trusted."""
    root = module.partition(".")[0]
    return (
        root in ("continuum", "")
        or root in _VALUE_LIBRARIES
        or root in sys.stdlib_module_names
        or any(module == name or module.startswith(f"{name}.") for name in _trusted)
    )


def severity_of_warnings() -> str:
    return "error" if _untrusted_calls == "error" else "warning"


@contextmanager
def collecting() -> Iterator[list[Finding]]:
    """Until the end, findings come into the list it gives, and nothing is raised or warned of."""
    global _collected
    before, _collected = _collected, []
    try:
        yield _collected
    finally:
        _collected = before


def tell(findings: Sequence[Finding]) -> None:
    """Raise the errors of one function together, and warn of the rest, each at its own line (X1, X5).

    Raises:
        DeterminismError: there is an error among them.
    """
    if _collected is not None:
        _collected.extend(findings)
        return
    errors = [finding for finding in findings if finding.severity == "error"]
    for finding in findings:
        if finding.severity != "error":
            text = f"{finding.what} in {finding.function} ({finding.rule}); {finding.remedy}"
            warnings.warn_explicit(text, DeterminismWarning, finding.file, finding.line)
    if errors:
        raise DeterminismError(errors)
