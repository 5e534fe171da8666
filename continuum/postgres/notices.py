"""What travels over NOTIFY: hints of a few bytes, which cost latency only when they are lost (B6).

<schema>_due     due | left | task | alone                                to dispatchers
<schema>_wake    mail:<run id, 32 hex digits>:<owner> | owner | ask:<owner>   to routers
<schema>_done    done:<run id>,<run id>,...                               to clients
a secret name    end:<run id>:<state>:<outcome, base64>                   to clients
a secret name    leased:<run id>:<token>:<created at>:<run, base64>       to an engine (one name each)
                 signal:<run id>:<signal id>:<signal, base64>

<created at> is in seconds since the epoch, with a fraction. Anybody who can connect to the database may listen. So
what a run was given or returned is said only on channels whose names have to be read from a table (migrations 0012 and
0013), and only if it is short; who hears it need not look.
"""

from __future__ import annotations

import secrets
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterator, Sequence
from uuid import UUID

import msgspec

from continuum.model.run import RunSeed, RunState
from continuum.ports.catalog import Ending
from continuum.ports.dispatch import Woken
from continuum.ports.journal import ClaimedRun, SignalRow
from continuum.ports.mailbox import Notice

_DONE, _END = b"done:", b"end:"
_IDS_MAX = 200  # of 33 bytes each; a payload has less than 8000
_OUTCOMES: dict[bytes, RunState] = {b"completed": "completed", b"failed": "failed", b"cancelled": "cancelled"}
OUTCOME_BYTES_MAX = 2_000  # a third more in base64; all sessions that listen pass over it
_encode = msgspec.msgpack.Encoder().encode
_SEED = msgspec.msgpack.Decoder(tuple[str, str | None, bytes, str, UUID, UUID | None, UUID | None])
_SIGNAL = msgspec.msgpack.Decoder(tuple[str, bytes])


def channel_of(schema: str, name: str) -> str:
    """Return the channel ``due``, ``wake`` or ``done`` of an instance."""
    return f"{schema}_{name}"


def secret_channel() -> str:
    """Return a name for a channel that nobody can guess."""
    return f"continuum_{secrets.token_hex(16)}"


def told_run(seed: RunSeed) -> str:
    """Return what an engine is told of a run that was leased to it, "" if that is long."""
    correlation = seed.correlation_id or seed.id
    return _told(
        seed.workflow,
        seed.version_hash,
        seed.args,
        seed.namespace,
        correlation,
        seed.parent_run_id,
        seed.continued_from_run_id,
    )


def told_signal(name: str, payload: bytes) -> str:
    """Return what an engine is told of a signal, "" if that is long."""
    return _told(name, payload)


def ended_payloads(run_ids: Sequence[UUID]) -> list[str]:
    """Return the payloads that say that these runs ended."""
    ids = [run_id.hex for run_id in run_ids]
    return ["done:" + ",".join(ids[start : start + _IDS_MAX]) for start in range(0, len(ids), _IDS_MAX)]


def outcome_payload(run_id: UUID, state: RunState, outcome: bytes | None) -> str:
    """Return the payload that says how a run ended, or only that it ended if that is long. ``outcome``: its result if
    it completed, else its error."""
    if outcome is not None and len(outcome) > OUTCOME_BYTES_MAX:
        return ended_payloads([run_id])[0]
    text = "" if outcome is None else b2a_base64(outcome, newline=False).decode()
    return f"end:{run_id.hex}:{state}:{text}"


def mail_payloads(woken: Sequence[Woken]) -> list[str]:
    """Return the payloads that say what came, each once."""
    return list(dict.fromkeys(map(_mail_payload, woken)))


def tells_outcome(payload: bytes) -> bool:
    """Say whether a payload says more than that something happened."""
    return payload.startswith(_END)


def ends_of(payload: bytes) -> dict[int, bytes]:
    """Return the ids of the runs that ended by a payload, as numbers (``UUID.int``), each with what `ending_of` reads;
    nothing for one that is not ours."""
    try:
        if payload.startswith(_END):
            _, number, outcome = payload.split(b":", 2)
            return {int(number, 16): outcome}
        if payload.startswith(_DONE):
            return {int(digits, 16): b"" for digits in payload[len(_DONE) :].split(b",")}
    except ValueError:
        pass
    return {}


def ending_of(run_id: UUID, told: bytes) -> Ending | None:
    """Return how a run ended by what was told with its id; None if that has to be looked at."""
    word, _, text = told.partition(b":")
    state = _OUTCOMES.get(word)
    if state is None:
        return None
    try:
        outcome = a2b_base64(text, strict_mode=True) if text else None
    except ValueError:
        return None
    return (
        Ending(run_id, state, outcome, None) if state == "completed" else Ending(run_id, state, None, outcome)
    )


def parse(payload: bytes) -> list[Notice]:
    """Return what a payload says to a dispatcher, router or engine; nothing for one that is not ours."""
    try:
        return list(_parse(payload.decode(errors="replace")))
    except (ValueError, TypeError, msgspec.MsgspecError):
        return []


def _told(*fields: object) -> str:
    try:
        text = _encode(fields)
    except UnicodeEncodeError:  # the statement that stores it says so, as a JournalError
        return ""
    return b2a_base64(text, newline=False).decode() if len(text) <= OUTCOME_BYTES_MAX else ""


def _leased(run: str, token: str, created_at: str, told: str) -> Notice:
    run_id, number = UUID(run), int(token)
    if not told:
        return Notice("leased", run_id, token=number)
    workflow, version_hash, args, namespace, correlation, parent, predecessor = _SEED.decode(a2b_base64(told))
    claimed = ClaimedRun(
        run_id,
        number,
        True,
        workflow,
        version_hash,
        args,
        namespace,
        float(created_at),
        correlation,
        parent,
        predecessor,
    )
    return Notice("leased", run_id, token=number, claimed=claimed)


def _signal(run: str, signal_id: str, told: str) -> Notice:
    signal = SignalRow(int(signal_id), *_SIGNAL.decode(a2b_base64(told))) if told else None
    return Notice("signal", UUID(run), signal=signal)


def _mail_payload(run: Woken) -> str:
    return "due" if run.owner is None else f"mail:{run.run_id.hex}:{run.owner}"


def _parse(payload: str) -> Iterator[Notice]:
    kind, _, rest = payload.partition(":")
    match kind:
        case "due" | "left" | "task" | "alone" | "ends" | "owner" if not rest:
            yield Notice(kind)
        case "ask" if rest:
            yield Notice("ask", owner=rest)
        case "mail":
            run_id, _, owner = rest.partition(":")
            if owner:
                yield Notice("mail", UUID(run_id), owner)
        case "leased":
            yield _leased(*rest.split(":", 3))
        case "signal":
            yield _signal(*rest.split(":", 2))
        case _:
            return
