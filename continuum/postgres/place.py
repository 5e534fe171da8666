"""Which machine this process runs on, and in which network of it: what has one of these, vanishes as one."""

from __future__ import annotations

import secrets
import socket
import sys
import uuid
from functools import cache
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NETWORK = Path("/proc/self/ns/net")


@cache
def here() -> str:
    """Return a text that processes have in common only if they run in one boot of one machine, and, where the system
    can say so, reach each other over loopback: two containers of one machine may lose each other, and the database."""
    try:
        return f"{_BOOT.read_text().strip()}/{_NETWORK.readlink()}"
    except OSError:
        # In a container that hides it nobody is near; other systems have no such containers.
        return secrets.token_hex() if sys.platform == "linux" else f"{socket.gethostname()}/{uuid.getnode()}"
