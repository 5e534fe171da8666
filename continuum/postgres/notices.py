"""What travels over NOTIFY: hints of a few bytes, which cost latency only when they are lost (B6).

<schema>_due     due | left | task | alone                                to dispatchers
<schema>_wake    mail:<run id, 32 hex digits>:<owner> | owner | ask:<owner>   to routers
<schema>_done    done:<run id>,<run id>,...                               to clients
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

from continuum.ports.dispatch import Woken
from continuum.ports.mailbox import Notice

_DONE = b"done:"
_IDS_MAX = 200  # of 33 bytes each; a payload has less than 8000


def channel_of(schema: str, name: str) -> str:
    """Return the channel ``due``, ``wake`` or ``done`` of an instance."""
    return f"{schema}_{name}"


def ended_payloads(run_ids: Sequence[UUID]) -> list[str]:
    """Return the payloads that say that these runs ended."""
    ids = [run_id.hex for run_id in run_ids]
    return [
        _DONE.decode() + ",".join(ids[start : start + _IDS_MAX]) for start in range(0, len(ids), _IDS_MAX)
    ]


def mail_payloads(woken: Sequence[Woken]) -> list[str]:
    """Return the payloads that say what came, each once."""
    return list(dict.fromkeys(map(_mail_payload, woken)))


def ended_numbers(payload: bytes) -> list[int]:
    """Return the ids of the runs that ended by a payload, as numbers (``UUID.int``); none for one that is not ours."""
    if not payload.startswith(_DONE):
        return []
    try:
        return [int(digits, 16) for digits in payload[len(_DONE) :].split(b",")]
    except ValueError:
        return []


def parse(payload: bytes) -> list[Notice]:
    """Return what a payload says to a dispatcher or router; nothing for one that is not ours."""
    try:
        return list(_parse(payload.decode(errors="replace")))
    except ValueError:
        return []


def _mail_payload(run: Woken) -> str:
    return "due" if run.owner is None else f"mail:{run.run_id.hex}:{run.owner}"


def _parse(payload: str) -> Iterator[Notice]:
    kind, _, rest = payload.partition(":")
    match kind:
        case "due" | "left" | "task" | "alone" | "owner" if not rest:
            yield Notice(kind)
        case "ask" if rest:
            yield Notice("ask", owner=rest)
        case "mail":
            run_id, _, owner = rest.partition(":")
            if owner:
                yield Notice("mail", UUID(run_id), owner)
        case _:
            return
