"""Modules that a test writes and imports, each in a file of its own."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


class Modules:
    """The modules of one test. ``load`` imports one with this source, under a name of its own if none is given."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._names = folder, list[str]()

    def load(self, source: str, name: str | None = None) -> ModuleType:
        name = name or f"version_{self._folder.name.replace('-', '_')}_{len(self._names)}"
        self._names.append(name)
        file = self._folder / f"{name}.py"
        file.write_text(textwrap.dedent(source))
        module = ModuleType(name)
        module.__file__ = str(file)
        sys.modules[name] = module
        exec(compile(file.read_text(), str(file), "exec"), vars(module))
        return module

    def forget(self) -> None:
        for name in self._names:
            sys.modules.pop(name, None)


@contextmanager
def modules_in(folder: Path) -> Iterator[Modules]:
    modules = Modules(folder)
    try:
        yield modules
    finally:
        modules.forget()
