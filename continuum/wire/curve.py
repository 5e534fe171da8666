"""The key of a cluster: who has it is a node of the cluster, or speaks for one (M3).

All nodes derive one CURVE key pair from it. So each can check the other without a list of nodes: a server lets in
only who proves to have that pair, and a client talks only to a server that has it. It never leaves the process.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets

import zmq
from zmq.utils import z85

from continuum.errors import ConfigurationError

_PREFIX = "continuum-key-"
_SECRET_BYTES = 32


class ClusterKey:
    """``public`` and ``secret``: the CURVE pair, in Z85 as ZeroMQ takes it. ``fingerprint`` is for people: nodes that
    log the same one have the same key, and it tells nothing of the key."""

    __slots__ = ("fingerprint", "public", "secret")

    def __init__(self, seed: bytes) -> None:
        assert len(seed) == _SECRET_BYTES, "keys are made by parse and generate"
        derived = hashlib.blake2b(seed, digest_size=32, person=b"continuum curve").digest()
        self.secret: bytes = z85.encode(derived)
        self.public: bytes = zmq.curve_public(self.secret)
        self.fingerprint = hashlib.blake2b(self.public, digest_size=4, person=b"fingerprint").hexdigest()

    @classmethod
    def parse(cls, text: str, source: str) -> ClusterKey:
        """Return the key that ``text`` is. ``source`` says where it stood, for the error, which does not repeat it.

        Raises:
            ConfigurationError: it is none.
        """
        body = text.strip()
        try:
            seed = base64.b64decode(body.removeprefix(_PREFIX) + "=", altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            seed = b""
        if not body.startswith(_PREFIX) or len(seed) != _SECRET_BYTES:
            raise ConfigurationError(
                f"{source} is no cluster key; nothing was started. `continuum cluster keygen` prints one, "
                "which all nodes of a cluster share"
            )
        return cls(seed)

    def __repr__(self) -> str:
        return f"ClusterKey({self.fingerprint})"


def generate_key() -> str:
    """Return the text of a new cluster key."""
    seed = secrets.token_bytes(_SECRET_BYTES)
    return _PREFIX + base64.urlsafe_b64encode(seed).decode().rstrip("=")
