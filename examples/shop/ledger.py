"""The shop's book of money: a file with one JSON line per movement, only ever appended to.

An attempt whose worker died is repeated, because nobody knows how far it had come. The book makes that harmless:
a movement has a key, and a key is entered once. The file is named by the environment variable ``SHOP_LEDGER``.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

PATH_VARIABLE = "SHOP_LEDGER"


@dataclass(frozen=True)
class Entry:
    """One movement of money. ``id`` is its number in the book."""

    id: str
    key: str
    kind: Literal["charge", "refund"]
    order: str
    cents: int


def enter(kind: Literal["charge", "refund"], *, key: str, order: str, cents: int) -> Entry:
    """Enter a movement, durably, unless its key is in the book already; return the one that is in it."""
    with _path().open("a+", encoding="utf-8") as book:
        fcntl.flock(book, fcntl.LOCK_EX)  # of two attempts at once, the second sees the entry of the first
        book.seek(0)
        known = [_entry(line) for line in book]
        for entry in known:
            if entry.key == key:
                return entry
        entry = Entry(f"{kind}-{len(known) + 1}", key, kind, order, cents)
        book.write(f"{json.dumps(asdict(entry))}\n")
        book.flush()
        os.fsync(book.fileno())
        return entry


def entries(path: Path | None = None) -> list[Entry]:
    """Return what is in the book, oldest first."""
    book = path or _path()
    return [_entry(line) for line in book.read_text(encoding="utf-8").splitlines()] if book.exists() else []


def _path() -> Path:
    return Path(os.environ.get(PATH_VARIABLE, "shop-ledger.jsonl"))


def _entry(line: str) -> Entry:
    return Entry(**json.loads(line))
