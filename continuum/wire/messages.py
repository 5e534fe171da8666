"""What processes of a node say to each other: tagged, versioned, in batches.

Messages are hints or work, never the authority (M4): each can be lost, doubled, late, or out of order, and the
tables still hold the same facts. ``RELIABLE`` ones are sent again by the :mod:`continuum.wire.post` until their
receiver has them, because their loss would cost a scan interval.

A run is named by the 16 bytes of its id; an attempt by ``Key`` = (run, seq of ActivityScheduled, attempt).
"""

from __future__ import annotations

import msgspec

from continuum.errors import WireError
from continuum.ports.journal import ClaimedRun

VERSION = 1
Key = tuple[bytes, int, int]


class Execute(msgspec.Struct, frozen=True, array_like=True, tag="x", gc=False):
    """engine | dispatcher → worker: run this attempt. Its durable record is committed."""

    run: bytes
    seq: int
    attempt: int
    activity: str
    args: bytes
    timeout_s: float | None = None
    idempotency_key: str | None = None
    heartbeat_timeout_s: float | None = None
    last_heartbeat: bytes | None = None  # the details of the attempt before

    @property
    def key(self) -> Key:
        return (self.run, self.seq, self.attempt)


class Heartbeat(msgspec.Struct, frozen=True, array_like=True, tag="h"):
    """worker → who sent Execute: the last details that these attempts have said, at most once a second each."""

    beats: list[tuple[Key, bytes]]


class Finished(msgspec.Struct, frozen=True, array_like=True, tag="f", gc=False):
    """worker → who sent Execute: ``payload`` is a value's payload if ``ok``, else an encoded ``Failure``."""

    run: bytes
    seq: int
    attempt: int
    ok: bool
    payload: bytes
    timed_out: bool = False
    retryable: bool = True
    details: bytes = b""  # of the last heartbeat, for the attempt after a failed one

    @property
    def key(self) -> Key:
        return (self.run, self.seq, self.attempt)


class Settled(msgspec.Struct, frozen=True, array_like=True, tag="s", gc=False):
    """engine | dispatcher → worker: these results are durable, or nobody wants them; forget them."""

    keys: list[Key]


class Disowned(msgspec.Struct, frozen=True, array_like=True, tag="d", gc=False):
    """engine → worker: I do not own these runs; put the results into the database (A8)."""

    keys: list[Key]


class Abandon(msgspec.Struct, frozen=True, array_like=True, tag="a", gc=False):
    """engine → worker: stop these attempts, nobody waits for them (A15); no result is expected."""

    keys: list[Key]


class WorkerReady(msgspec.Struct, frozen=True, array_like=True, tag="w"):
    """worker → engines, dispatcher, group: at start, when its window changes, and now and then.

    ``window``: how many attempts the receiver may have at this worker at once (its credit); to the group it says how
    many the worker runs at once at most. ``stuck``, to the group alone: what does not go on there."""

    queues: tuple[str, ...]
    window: int
    running: int
    stopping: bool = False
    stuck: tuple[str, ...] = ()


class LastWord(msgspec.Struct, frozen=True, array_like=True, tag="L"):
    """engine | dispatcher → worker that stops: these attempts you have from me or are about to get, and no others. It
    follows what was sent before; said again whenever the worker says that it stops."""

    keys: list[Key]


class Recover(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    """engine → worker: which of these attempts do you hold? From now on their results go to me."""

    keys: list[Key]


class Recovered(msgspec.Struct, frozen=True, array_like=True, tag="R"):
    """worker → engine: of the keys asked for, the ones it holds (running, queued or finished), and the ones it
    has never seen or already stored in the database."""

    held: list[Key]
    unknown: list[Key]
    stored: list[Key]


class EngineReady(msgspec.Struct, frozen=True, array_like=True, tag="e"):
    """engine → everybody: at start, on change and now and then. ``owner``: the owner under which it holds leases;
    ``free``: how many more runs it takes, 0 while draining. ``live``: runs in memory, ``parked`` of which wait for
    signals and timers only. ``commits`` and ``steps``: how many commits it has made, and how many steps of runs were
    in them."""

    owner: str
    free: int
    live: int = 0
    parked: int = 0
    commits: int = 0
    steps: int = 0


class Assign(msgspec.Struct, frozen=True, array_like=True, tag="A"):
    """dispatcher → engine: these runs are leased to you."""

    owner: str
    runs: list[ClaimedRun]


class Wake(msgspec.Struct, frozen=True, array_like=True, tag="k"):
    """router | dispatcher → engine: these runs have mail in the database, or were cancelled."""

    runs: list[bytes]


class Look(msgspec.Struct, frozen=True, array_like=True, tag="l"):
    """router | engine | timer → dispatcher: something can be claimed now (runs, tasks or both), or ``owners``: there is
    a new one. engine → router: mail of its runs may have been missed. dispatcher → timer: an owner is gone, and with it
    perhaps the timer that knew of its runs."""

    runs: bool = True
    tasks: bool = False
    owners: bool = False


class Ask(msgspec.Struct, frozen=True, array_like=True, tag="q"):
    """router → the process that stands for this owner: somebody doubts that it lives; renew its row at once."""

    owner: str


class TimersSet(msgspec.Struct, frozen=True, array_like=True, tag="t"):
    """engine → timer: (run, seq, seconds until due), committed."""

    timers: list[tuple[bytes, int, float]]


class TimersFired(msgspec.Struct, frozen=True, array_like=True, tag="T"):
    """timer → engine: (run, seq), due by the database's clock."""

    timers: list[tuple[bytes, int]]


class RunsEnded(msgspec.Struct, frozen=True, array_like=True, tag="E"):
    """engine → router: these runs ended in a commit; tell the clients that wait."""

    runs: list[bytes]


class Route(msgspec.Struct, frozen=True, array_like=True, tag="o"):
    """role → group: (owner, runs): wake these runs, whose owners are on other nodes."""

    wakes: list[tuple[str, list[bytes]]]


class Forward(msgspec.Struct, frozen=True, array_like=True, tag="F"):
    """dispatcher → group: results for an engine of another node. ``Settled`` or ``Disowned`` comes back for each, or
    nothing at all: then the results go into the database."""

    owner: str
    results: list[Finished]


class Members(msgspec.Struct, frozen=True, array_like=True, tag="m"):
    """group → roles: at start, on change and now and then.

    ``nodes``: (node, boot, free) of the other nodes that can be reached by message; ``free``: how many more runs
    their engines take. ``suspected``: (node, boot) of those that have not answered, on which nobody relies."""

    nodes: list[tuple[str, str, int]]
    suspected: list[tuple[str, str]] = []


class NodeSuspected(msgspec.Struct, frozen=True, array_like=True, tag="u"):
    """group → dispatcher: this life of a node does not answer; no verdict yet. Said once per suspicion."""

    node: str
    boot: str


class NodeDied(msgspec.Struct, frozen=True, array_like=True, tag="D"):
    """group → dispatcher: the group's verdict on this life of a node, or its successor has come. It may be wrong (M4).
    Said once per death, and again to a dispatcher that starts."""

    node: str
    boot: str


Message = (
    Execute
    | Heartbeat
    | Finished
    | Settled
    | Disowned
    | Abandon
    | WorkerReady
    | LastWord
    | Recover
    | Recovered
    | EngineReady
    | Assign
    | Wake
    | Look
    | Ask
    | TimersSet
    | TimersFired
    | RunsEnded
    | Route
    | Forward
    | Members
    | NodeSuspected
    | NodeDied
)
RELIABLE: frozenset[type[Message]] = frozenset(
    {Execute, Finished, Settled, Disowned, Abandon, Recover, Recovered, Assign, Forward}
)


class Parcel(msgspec.Struct, array_like=True):
    """One datagram between two processes. ``to`` is the receiver's incarnation, "" for whoever has the name.

    ``number`` > 0 asks for an acknowledgement; ``acks`` are numbers received from the receiver of this parcel.
    """

    version: int
    sender: str  # process name, such as "engine-1"
    incarnation: str
    to: str
    number: int
    acks: list[int]
    messages: list[Message]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Parcel)


def encode_parcel(parcel: Parcel) -> bytes:
    return _encoder.encode(parcel)


def decode_parcel(data: bytes) -> Parcel:
    """Return the parcel in ``data``.

    Raises:
        WireError: it is none, or of another version; the receiver counts it and goes on.
    """
    try:
        parcel = _decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise WireError(f"not a parcel of version {VERSION}: {error}") from error
    if parcel.version != VERSION:
        raise WireError(
            f"a parcel of version {parcel.version}, this process reads {VERSION}; restart the node"
        )
    return parcel
