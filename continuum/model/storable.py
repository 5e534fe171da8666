"""Which text PostgreSQL can hold: the same is refused by every store, and by clients before they ask one."""

from __future__ import annotations


def is_storable(text: str) -> bool:
    """Say whether the text is free of NUL and of halves of surrogate pairs."""
    if text.isascii():
        return "\0" not in text
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def find_unstorable(value: object) -> str | None:
    """Return the first text in a value of JSON that cannot be held, None if there is none."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str() as text if not is_storable(text):
                return text
            case dict() as mapping:
                waiting += (*mapping, *mapping.values())
            case list() | tuple() as items:
                waiting += items
    return None
