"""A question to the group of a host from a process that is no node, such as the command line."""

from __future__ import annotations

import zmq

from continuum.errors import NodeError, WireError
from continuum.wire.curve import ClusterKey
from continuum.wire.endpoint import SCHEME
from continuum.wire.hosts import PACKET_BYTES_MAX, AskStatus, StatusAnswer, decode_packet, encode_packet


def ask_status(address: str, key: ClusterKey | None, timeout_s: float) -> bytes:
    """Return the snapshot (``continuum.cluster.status``) of the group at ``HOST:PORT``.

    Raises:
        NodeError: it has not answered in time: nobody is there, or it has another key.
    """
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        line = context.socket(zmq.DEALER)
        line.setsockopt(zmq.LINGER, 0)
        line.setsockopt(zmq.MAXMSGSIZE, PACKET_BYTES_MAX)
        line.setsockopt(zmq.IPV6, int("[" in address))
        if key is not None:
            line.setsockopt(zmq.CURVE_SERVERKEY, key.public)
            line.setsockopt(zmq.CURVE_PUBLICKEY, key.public)
            line.setsockopt(zmq.CURVE_SECRETKEY, key.secret)
        line.connect(SCHEME + address)
        line.send(encode_packet("", "", AskStatus()))
        if line.poll(round(timeout_s * 1000)):
            return _snapshot(line.recv())
    except zmq.ZMQError as error:
        raise NodeError(f"the node at {address} cannot be asked: {error.strerror}") from error
    finally:
        context.destroy(linger=0)
    raise NodeError(
        f"the node at {address} has not answered within {timeout_s:g} s: "
        "nobody is there, or it has another cluster key"
    )


def _snapshot(data: bytes) -> bytes:
    try:
        _, message = decode_packet(data, None)
    except WireError as error:
        raise NodeError(f"the answer cannot be read: {error}") from error
    if not isinstance(message, StatusAnswer):
        raise NodeError("the answer is none to the question; nothing was changed")
    return message.data
