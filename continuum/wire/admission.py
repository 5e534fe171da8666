"""Who may connect: the allow-list behind the CURVE handshake (ZAP, ZeroMQ RFC 27), answered from the process's poll.

The library asks during a handshake and waits without blocking anything; a peer that is refused has sent nothing that
anybody reads. Without an answer nobody is let in (``ZMQ_ZAP_ENFORCE_DOMAIN``).
"""

from __future__ import annotations

from contextlib import suppress

import zmq

DOMAIN = b"continuum"
_ENDPOINT = "inproc://zeromq.zap.01"
_VERSION = b"1.0"
_ANSWERS_MAX = 64  # in one go


class Admission:
    """Lets in who proves to own the ``public`` key, 32 bytes; ``refused`` counts the others. For one context."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], public: bytes) -> None:
        self._public = public
        self.refused = 0
        self.socket: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(_ENDPOINT)

    def answer(self) -> list[str]:
        """Answer what was asked; return the addresses that were refused."""
        refused = []
        with suppress(zmq.Again):
            for _ in range(_ANSWERS_MAX):
                frames = self.socket.recv_multipart(zmq.NOBLOCK)
                # envelope ... empty | version, request id, domain, address, identity, mechanism, credentials ...
                body = frames.index(b"") + 1
                request = frames[body:]
                if len(request) < 6 or request[0] != _VERSION:
                    continue
                admitted = self._admits(request)
                if not admitted:
                    self.refused += 1
                    refused.append(request[3].decode(errors="replace"))
                status = (b"200", b"OK", b"node") if admitted else (b"400", b"another key", b"")
                self.socket.send_multipart([*frames[:body], _VERSION, request[1], *status, b""])
        return refused

    def _admits(self, request: list[bytes]) -> bool:
        domain, mechanism, credentials = request[2], request[5], request[6:]
        return domain == DOMAIN and mechanism == b"CURVE" and credentials[:1] == [self._public]

    def close(self) -> None:
        self.socket.close(linger=0)
