"""The control channel between the supervisor and one child: typed messages over a socket pair.

    supervisor                            child
      Ping(n)              ──────────►
                           ◄──────────    Pong(n)            a child that is silent for too long is killed
                           ◄──────────    Ready(info)        the next child may start
                           ◄──────────    Fatal(reason)      before ready: do not try again, end the tree
                           ◄──────────    Demand(child)      start this child, if it does not run
      PeerUp / PeerDown    ──────────►                       another child was forked, or has exited
      Stop(grace_s)        ──────────►                       drain, then exit; killed when the grace is over
      end of file          ──────────►                       the supervisor is dead: exit at once

One frame is a 4-byte big-endian length, one byte of version, and a tagged msgpack struct. A stream with
lengths rather than SOCK_SEQPACKET: macOS has no such sockets, and a second way would be one never tested.
Neither side ever blocks on the other: what does not fit into the socket waits in a bounded buffer.
"""

from __future__ import annotations

import socket
import struct
from typing import Generic, TypeVar

import msgspec

from continuum.errors import WireError

VERSION = 1
FRAME_BYTES_MAX = 64 * 1024
BUFFER_BYTES_MAX = 1024 * 1024
TEXT_CHARS_MAX = 8000  # four bytes each at most: the frame stays below its limit
_LENGTH = struct.Struct(">I")


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Answer with `Pong` of the same number."""

    n: int


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Drain and exit; after ``grace_s`` seconds follows SIGKILL."""

    grace_s: float


class PeerUp(msgspec.Struct, frozen=True, tag="peer_up"):
    """Another child of the tree was forked; it may not be ready yet."""

    child_id: str
    incarnation: str
    crew: int


class PeerDown(msgspec.Struct, frozen=True, tag="peer_down"):
    """This incarnation has exited and was reaped: it can do nothing any more. ``record``: what it left in its."""

    child_id: str
    incarnation: str
    crew: int
    record: bytes = b""


class Pong(msgspec.Struct, frozen=True, tag="pong"):
    """Answer to `Ping`."""

    n: int


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The child does its work now; ``info`` is for the log."""

    info: str


class Fatal(msgspec.Struct, frozen=True, tag="fatal"):
    """Starting this child again cannot help; ``exit_code`` becomes that of the supervisor."""

    reason: str
    exit_code: int


class Demand(msgspec.Struct, frozen=True, tag="demand"):
    """Start a child that is started on demand."""

    child_id: str


ControlMessage = Ping | Stop | PeerUp | PeerDown
ChildMessage = Pong | Ready | Fatal | Demand
Message = TypeVar("Message")


class _Frames(Generic[Message]):
    """One end of the pair: whole messages in and out, never blocking."""

    def __init__(self, end: socket.socket, decoder: msgspec.msgpack.Decoder[Message]) -> None:
        end.setblocking(False)
        self._socket = end
        self._decoder = decoder
        self._encoder = msgspec.msgpack.Encoder()
        self._inbox = bytearray()
        self._outbox = bytearray()
        self.closed = False

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return self._socket.fileno()

    def close(self) -> None:
        """Give the descriptor back."""
        self.closed = True
        self._socket.close()

    @property
    def has_unsent(self) -> bool:
        """True while `flush` has something left to do."""
        return bool(self._outbox) and not self.closed

    def send(self, message: ControlMessage | ChildMessage) -> None:
        """Queue ``message`` and send what the socket takes. To a peer that is gone: no effect."""
        body = self._encoder.encode(message)
        assert len(body) < FRAME_BYTES_MAX, "control messages are small"
        self._outbox += _LENGTH.pack(len(body) + 1) + bytes([VERSION]) + body
        self.flush()

    def flush(self) -> None:
        """Send what waits; a peer that lets more than `BUFFER_BYTES_MAX` wait counts as gone."""
        while self.has_unsent:
            try:
                sent = self._socket.send(self._outbox)
            except BlockingIOError:
                self.closed = len(self._outbox) > BUFFER_BYTES_MAX
                return
            except OSError:
                self.closed = True
                return
            del self._outbox[:sent]

    def receive(self) -> list[Message]:
        """What has arrived, without waiting. ``closed`` is set at the end of the stream.

        Raises:
            WireError: the bytes are no message of this version; nothing after them can be read.
        """
        self._fill()
        messages: list[Message] = []
        while (body := self._next_frame()) is not None:
            try:
                messages.append(self._decoder.decode(body))
            except msgspec.DecodeError as error:
                raise WireError(f"control message cannot be read: {error}") from error
        return messages

    def _fill(self) -> None:
        while not self.closed and len(self._inbox) < BUFFER_BYTES_MAX:
            try:
                chunk = self._socket.recv(FRAME_BYTES_MAX)
            except BlockingIOError:
                return
            except OSError:
                chunk = b""
            self._inbox += chunk
            self.closed = not chunk

    def _next_frame(self) -> bytes | None:
        if len(self._inbox) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._inbox)
        if not 1 <= length <= FRAME_BYTES_MAX:
            raise WireError(f"control frame of {length} bytes; at most {FRAME_BYTES_MAX} are allowed")
        end = _LENGTH.size + length
        if len(self._inbox) < end:
            return None
        frame = bytes(self._inbox[_LENGTH.size : end])
        del self._inbox[:end]
        if frame[0] != VERSION:
            raise WireError(f"control message of version {frame[0]}; this is version {VERSION}")
        return frame[1:]


class ControlLink(_Frames[ChildMessage]):
    """The supervisor's end."""

    def __init__(self, end: socket.socket) -> None:
        super().__init__(end, msgspec.msgpack.Decoder(ChildMessage))


class ControlChannel(_Frames[ControlMessage]):
    """The child's end, for one thread. When ``closed`` is set the supervisor is dead, and the role must exit."""

    def __init__(self, end: socket.socket) -> None:
        super().__init__(end, msgspec.msgpack.Decoder(ControlMessage))

    def ready(self, info: str = "") -> None:
        """Report that this child does its work: the next one may start."""
        self.send(Ready(_sendable(info)))

    def fatal(self, reason: str, exit_code: int = 1) -> None:
        """Report, before `ready`, why starting again cannot help; then return from the child's function.

        The whole tree ends with ``reason`` and ``exit_code``. After `ready` it only explains the exit.
        """
        self.send(Fatal(_sendable(reason), exit_code))

    def demand(self, child_id: str) -> None:
        """Have a child started that is started on demand; no effect while it runs."""
        self.send(Demand(child_id))

    def pong(self, n: int) -> None:
        """Answer a `Ping`."""
        self.send(Pong(n))


def _sendable(text: str) -> str:
    """``text`` cut to its limit, without the lone surrogates that names of files may carry."""
    return text[:TEXT_CHARS_MAX].encode("utf-8", "replace").decode("utf-8")


def control_pair() -> tuple[ControlLink, ControlChannel]:
    """Both ends of a new channel: the supervisor's and the child's. Not inherited by programs that either executes."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return ControlLink(ours), ControlChannel(theirs)
