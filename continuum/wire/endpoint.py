"""Addresses between hosts: ``HOST:PORT`` as people and messages write them, ``tcp://HOST:PORT`` to bind to.

An IPv6 host stands in brackets. Nothing is looked up here.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import NamedTuple

from continuum.errors import ConfigurationError

DEFAULT_PORT = 7433  # of an address that names none
SCHEME = "tcp://"


class Endpoint(NamedTuple):
    """``port`` 0 is one that the system chooses."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """True if only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def is_wildcard(self) -> bool:
        """True if it stands for every address of the machine, and can be told to nobody."""
        return self.host in ("0.0.0.0", "::")


def parse_endpoint(text: str, port: int = DEFAULT_PORT) -> Endpoint:
    """Return what ``HOST:PORT``, ``HOST`` or either with ``tcp://`` before it names; ``*`` is every address.
    ``port``: of an address that names none.

    Raises:
        ConfigurationError: it is none of these.
    """
    host, port = _split(text.strip().removeprefix(SCHEME), port)
    if not host or any(sign in host for sign in "/@ ") or not 0 <= port <= 65535:
        raise ConfigurationError(
            f"{text!r} is no address; it looks like tcp://10.0.0.7:{DEFAULT_PORT}, or [fd00::7]:{DEFAULT_PORT}"
        )
    return Endpoint("0.0.0.0" if host == "*" else host, port)


def _split(rest: str, port: int) -> tuple[str, int]:
    if rest.startswith("["):
        host, _, tail = rest[1:].partition("]")
        port_text = tail.removeprefix(":") if tail.startswith(":") else ("" if not tail else "?")
    elif rest.count(":") > 1:  # an IPv6 address without a port
        host, port_text = rest, ""
    else:
        host, _, port_text = rest.partition(":")
    if port_text in ("", "*"):
        return host, port if not port_text else 0
    return host, int(port_text) if port_text.isdecimal() and len(port_text) <= 5 else -1
