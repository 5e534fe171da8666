"""Where in the user's code a command stands: ``folder/file.py:line``, for people only."""

from __future__ import annotations

import asyncio
import sys
from functools import lru_cache
from pathlib import Path

Site = tuple[str, int]

_OWN = (str(Path(__file__).parent), str(Path(asyncio.__file__).parent))


@lru_cache(maxsize=4096)
def site_text(site: Site) -> str:
    """Return the site with the last two parts of its path: enough for people, and the same on every host."""
    file, line = site
    return f"{'/'.join(Path(file).parts[-2:])}:{line}"


def user_site() -> Site:
    """Return the innermost frame that is neither ours nor asyncio's."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OWN):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
