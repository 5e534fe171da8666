"""The guides in ``docs/``: their code blocks, as files of a project and as commands to type.

A ``python`` block begins with the name of its file, ``# shop.py``. Blocks of the same name are one file, in order.
A ``sh`` block is typed while a node runs the guide's modules.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


@dataclass(frozen=True)
class Guide:
    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    def blocks(self, language: str) -> list[str]:
        return blocks(self.path.read_text(), language)

    def files(self) -> dict[str, str]:
        """The text of every file that the guide writes, by name."""
        files: dict[str, str] = {}
        for block in self.blocks("python"):
            named = re.match(r"# (\w+\.py)\n", block)
            assert named, f"{self.path.name}: a python block begins with the name of its file: {block[:60]!r}"
            files[named[1]] = files.get(named[1], "") + block
        return files

    def write_to(self, folder: Path) -> None:
        for name, text in self.files().items():
            (folder / name).write_text(text)

    @property
    def tests(self) -> list[str]:
        return [name for name in self.files() if name.startswith("test_")]

    @property
    def programs(self) -> list[str]:
        """What is run as it stands: files that begin a client and define nothing."""
        return [
            name for name, text in self.files().items() if "continuum.Client()" in text and "def " not in text
        ]

    @property
    def modules(self) -> list[str]:
        """What a node is started with: files that define workflows."""
        return [name.removesuffix(".py") for name, text in self.files().items() if "\n@workflow" in text]


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def guides() -> list[Guide]:
    """Every page of ``docs/`` whose python is written as files. The others have tests of their own, by their name."""
    pages = (Guide(path) for path in sorted(DOCS.glob("*.md")))
    return [page for page in pages if page.blocks("python") and page.blocks("python")[0].startswith("# ")]


def other_guides() -> list[Guide]:
    """Every other page with python in it."""
    pages = (Guide(path) for path in sorted(DOCS.glob("*.md")))
    return [page for page in pages if page.blocks("python") and page not in guides()]
