"""Text of users on a line of ours: a name with a line break in it must look like one line, and steer no terminal."""

from __future__ import annotations


def visible(text: str) -> str:
    """The text with escapes for what cannot be seen: control characters, line breaks, marks that turn writing round."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
