"""What the scan of one function has found: findings, in order, and the functions to look at next."""

from __future__ import annotations

import ast
from types import FunctionType

from continuum.core.determinism.settings import severity_of_warnings
from continuum.core.determinism.table import Denial, shown
from continuum.errors import Finding


class Notes:
    """Findings of one function; each place and name is noted once."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.findings: list[Finding] = []
        self.helpers: list[FunctionType] = []
        self.activities: list[tuple[int, str]] = []
        self.compensates = False
        self.made: list[tuple[type, ast.Call]] = []  # classes with default factories, where they are called
        self._seen: set[tuple[object, ...]] = set()

    def refuse(self, node: ast.AST, what: str, denial: Denial) -> None:
        """Note an error."""
        self._note(node, denial.rule, shown(what), denial.remedy, "error", None)

    def doubt(self, node: ast.AST, rule: str, what: str, remedy: str, *, once: bool = False) -> None:
        """Note a warning; with ``once``, for all places of the function together."""
        self._note(node, rule, what, remedy, severity_of_warnings() if rule in _CALLS else "warning", once)

    def _note(
        self, node: ast.AST, rule: str, what: str, remedy: str, severity: str, once: bool | None
    ) -> None:
        line = getattr(node, "lineno", 0)
        key = (rule, what) if once else (rule, what, line)
        if key not in self._seen:
            self._seen.add(key)
            self.findings.append(Finding(self.file, line, rule, what, remedy, severity=severity))


_CALLS = frozenset({"untrusted-call", "input-call"})
