"""Where in the user's code a command stands: ``folder/file.py:line``, for people only."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from types import CodeType, CoroutineType, FrameType

Site = tuple[str, int]
Place = tuple[CodeType, int]
"""A code and an instruction in it: costs less than the line that it stands for, which few ask for."""

_ORIGIN_FRAMES = (5, 10)  # nearly always enough, and always, unless a task was made of the effect itself
_OWN = (str(Path(__file__).parent), str(Path(asyncio.__file__).parent))


@lru_cache(maxsize=4096)
def site_text(site: Site) -> str:
    """Return the site with the last two parts of its path: enough for people, and the same on every host."""
    file, line = site
    return f"{'/'.join(Path(file).parts[-2:])}:{line}"


@lru_cache(maxsize=4096)
def place_text(place: Place) -> str:
    """Return the text of the site at a place."""
    return site_text(site_of(place))


def place_of_caller(depth: int = 2) -> Place:
    """Return where the frame ``depth`` above this one is."""
    frame = sys._getframe(depth)
    return frame.f_code, frame.f_lasti


def site_of(place: Place) -> Site:
    """Return file and line of a place."""
    code, instruction = place
    for start, end, line in code.co_lines():
        if start <= instruction < end and line is not None:
            return code.co_filename, line
    return code.co_filename, code.co_firstlineno


def user_place() -> Place | None:
    """Return the innermost place of this run's code that is neither ours nor asyncio's, None if it has none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not (frame.f_code.co_name == "drain" and _is_own(frame)):
        if not _is_own(frame):
            return frame.f_code, frame.f_lasti
        frame = frame.f_back
    return None


def _is_own(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_OWN)


def user_site() -> Site:
    """Return the innermost line that is neither ours nor asyncio's.

    A frame that is looked at becomes an object, which lives as long as the code in it: for days, in a run that waits,
    and a tenth of its memory. The origin of a coroutine is told without.
    """
    for frames in _ORIGIN_FRAMES:
        for file, line, _ in _origin(frames):
            if not file.startswith(_OWN):
                return file, line
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_own(frame):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def _origin(frames: int) -> Sequence[tuple[str, int, str]]:
    before = sys.get_coroutine_origin_tracking_depth()
    sys.set_coroutine_origin_tracking_depth(frames)
    try:
        nothing = _nothing()
    finally:
        sys.set_coroutine_origin_tracking_depth(before)
    nothing.close()
    assert isinstance(nothing, CoroutineType)
    return nothing.cr_origin or ()


async def _nothing() -> None:
    """Something that has an origin."""
