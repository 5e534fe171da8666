"""What the code of a run has drawn since its last command: numbers and ids that leave no event of their own (R10).

They come from one generator that is seeded with the run's id, so one more or one fewer changes every later value
although each recorded command still fits. So a command records what was drawn before it, as a text::

    ""              nothing                    "2r"  two numbers              "1u"  an id
    "2r1u:9a3b01c2" two numbers and an id; the digits tell their order, on which the values depend as well

None stands for a command that was recorded before draws were: it is compared with nothing.
"""

from __future__ import annotations

import random
import re
import uuid
from uuid import UUID
from zlib import crc32

_TEXT = re.compile(r"(?:(\d+)r)?(?:(\d+)u)?")


class Draws:
    """The generator of one run, and how often it was asked since the last command. ``order`` is 0 if it was not."""

    __slots__ = ("_generator", "_numbers", "_uuids", "order")

    def __init__(self, run_id: UUID) -> None:
        self._generator = random.Random(run_id.int)
        self._numbers = self._uuids = self.order = 0

    def number(self) -> float:
        self._numbers += 1
        self.order = crc32(b"r", self.order)
        return self._generator.random()

    def uuid(self) -> UUID:
        self._uuids += 1
        self.order = crc32(b"u", self.order)
        return uuid.UUID(int=self._generator.getrandbits(128), version=4)

    def forget(self) -> None:
        """A command has come: count anew."""
        self._numbers = self._uuids = self.order = 0

    @property
    def text(self) -> str:
        numbers = f"{self._numbers}r" if self._numbers else ""
        uuids = f"{self._uuids}u" if self._uuids else ""
        return f"{numbers}{uuids}:{self.order:08x}" if numbers and uuids else numbers + uuids


def described(text: str) -> str:
    """Return a recorded text for people."""
    found = _TEXT.match(text)
    numbers, uuids = found.groups() if found is not None else (None, None)
    parts = [f"{numbers} random()"] if numbers else []
    parts += [f"{uuids} uuid4()"] if uuids else []
    return " and ".join(parts) or "nothing"
