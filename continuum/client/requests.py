"""What a user passes, checked and made into what the catalog takes. Nothing here touches the database.

Whatever cannot work is refused here, where the caller's line is still on the stack.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar
from uuid import UUID

from continuum.core.call import ActivityCall, WorkflowCall
from continuum.core.effects import Signal, in_workflow
from continuum.core.options import NAME_BYTES_MAX
from continuum.errors import ConfigurationError, DeterminismError, PayloadError
from continuum.model import payload
from continuum.model.ids import run_id_of, time_ordered_id
from continuum.model.retry import Duration, seconds_of
from continuum.model.run import RunSeed
from continuum.model.storable import find_unstorable, is_storable

R = TypeVar("R")
RunId = UUID | str
IfExists = Literal["error", "attach"]

START_MANY_MAX = 10_000


def refuse_in_workflow(operation: str) -> None:
    """Raise the error of a client's operation that workflow code calls (X2): a replay would do it again."""
    if in_workflow():
        raise DeterminismError(
            f"{operation}() is a client's operation and cannot run in workflow code, where a replay would repeat it; "
            "call it from an activity"
        )


def checked_call(call: WorkflowCall[R]) -> WorkflowCall[R]:
    """Return the call, marked as used.

    Raises:
        TypeError: it is no call of a workflow.
    """
    if isinstance(call, WorkflowCall):
        call.take()
        return call
    if isinstance(call, ActivityCall):
        call.take()
        raise TypeError(
            f"{call.name} is an activity, and only workflows are started; write a @workflow that awaits it"
        )
    name = getattr(call, "__qualname__", None) or repr(call)
    raise TypeError(
        f"start() takes the call of a workflow, not {name}; call the @workflow function: start(checkout(order)), "
        'or name it: start(continuum.call("shop.flows.checkout", order))'
    )


def seeds_of(
    calls: Sequence[WorkflowCall[Any]],
    ids: Sequence[RunId | None] | None,
    namespace: str,
    attributes: Mapping[str, object] | None,
    delay: Duration | None,
) -> list[RunSeed]:
    """Return the rows that start the runs of these calls.

    Raises:
        TypeError, ConfigurationError: an argument that cannot be stored.
        PayloadError: an argument of a call cannot be encoded; names the place.
    """
    calls = [checked_call(call) for call in calls]
    _refuse_unreachable(calls)
    count = len(calls)
    chosen = [None] * count if ids is None else list(ids)
    if len(chosen) != count:
        raise ConfigurationError(f"{count} calls have {len(chosen)} ids; give one, or None, for each")
    if count > START_MANY_MAX:
        raise ConfigurationError(
            f"{count:,} runs are too many for one transaction; start at most {START_MANY_MAX:,} at a time"
        )
    namespace = text("namespace", namespace)
    stored = attributes_json(attributes) if attributes else {}
    delay_s = 0.0 if delay is None else seconds_of(delay)
    seeds = [_seed(call, id, namespace, stored, delay_s) for call, id in zip(calls, chosen, strict=True)]
    if count > 1 and len({seed.id for seed in seeds}) < count:
        raise ConfigurationError("two of the ids are the same; nothing was started")
    return seeds


def _refuse_unreachable(calls: Sequence[WorkflowCall[Any]]) -> None:
    for call in calls:
        if call.target is not None and call.target.unreachable is not None:
            raise ConfigurationError(
                f"{call.target.unreachable}; nothing was started. Put it into a module, such as flows.py, import it "
                "from there, and start a node with that module"
            )


def _seed(
    call: WorkflowCall[Any],
    id: RunId | None,
    namespace: str,
    attributes: Mapping[str, object],
    delay_s: float,
) -> RunSeed:
    return RunSeed(
        id=new_run_id() if id is None else run_id(id),
        workflow=call.name,
        args=_encoded_arguments(call),
        key=id if isinstance(id, str) else None,
        version_hash=None if call.target is None else call.target.version_hash,
        namespace=namespace,
        attributes=attributes,
        delay_s=delay_s,
    )


def new_run_id() -> UUID:
    return time_ordered_id(time.time_ns() // 1_000_000, int.from_bytes(os.urandom(10)))


def run_id(id: RunId) -> UUID:
    """Return the run's id: a UUID, its text, or the key that the run was started with.

    Raises:
        TypeError: it is neither a UUID nor a str.
        ConfigurationError: the text cannot be stored.
    """
    if isinstance(id, UUID):
        return id
    if not isinstance(id, str):
        raise TypeError(f"a run's id is a UUID or a str, not {id!r}")
    return run_id_of(text("id", id))


def signal_name(signal: Signal[Any] | str) -> str:
    """Return the mailbox that a signal goes to.

    Raises:
        TypeError, ConfigurationError: it is neither a Signal nor a name.
    """
    return text("signal", signal.name if isinstance(signal, Signal) else signal)


def delivery_id(id: str | None) -> str | None:
    return None if id is None else text("id", id)


def signal_payload(name: str, value: object) -> bytes:
    return payload.encode(value, path=f"signal {name}")


def attributes_json(attributes: Mapping[str, object]) -> dict[str, object]:
    """Return a copy that is what the database will hold: JSON, with text keys.

    Raises:
        TypeError: it is no mapping.
        PayloadError: a value that JSON or PostgreSQL cannot hold.
    """
    if not isinstance(attributes, Mapping):
        raise TypeError(f"attributes are a mapping such as {{'plan': 'pro'}}, not {attributes!r}")
    for name in attributes:
        if not isinstance(name, str):
            raise PayloadError(f"the name of an attribute is a str, not {name!r}", path="attributes")
        if len(name.encode(errors="replace")) > NAME_BYTES_MAX:
            raise PayloadError(
                f"the name of an attribute, {name[:40]!r}, has more than {NAME_BYTES_MAX:,} bytes; shorten it",
                path="attributes",
            )
    try:
        text = json.dumps(dict(attributes), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(
            f"cannot be JSON: {error}; use text, numbers, booleans, None, lists and dicts", path="attributes"
        ) from error
    copied: dict[str, object] = json.loads(text)
    unstorable = find_unstorable(copied)
    if unstorable is not None:
        raise PayloadError(
            f"{unstorable[:40]!r} holds a character that PostgreSQL cannot store: NUL, or half of a surrogate pair",
            path="attributes",
        )
    if len(text) > payload.LIMIT_BYTES:
        raise PayloadError(
            f"{len(text):,} bytes are more than the limit of {payload.LIMIT_BYTES:,}; attributes are for "
            "queries, pass what is large as an argument",
            path="attributes",
        )
    return copied


def cancel_reason(reason: str | None) -> str | None:
    return None if reason is None else text("reason", reason)


def cleanup_s(cleanup: Duration | None) -> float | None:
    """Return the seconds that a cancelled run has for cleaning up; None: it ends at once.

    Raises:
        TypeError, ValueError: it is no duration.
    """
    return None if cleanup is None else seconds_of(cleanup)


def if_exists(choice: IfExists) -> IfExists:
    """Return the choice, which checkers do not see in every caller.

    Raises:
        ConfigurationError: it is none.
    """
    if choice not in ("error", "attach"):
        raise ConfigurationError(f'if_exists is "error" or "attach", not {choice!r}; nothing was started')
    return choice


def _encoded_arguments(call: WorkflowCall[Any]) -> bytes:
    try:
        return payload.encode_arguments(call.args, call.kwargs, path="")
    except PayloadError as error:
        # The payload's two halves are the arguments: `[0][1].lines` is `args[1].lines` to whoever made the call.
        place = error.path.replace("[0]", "args", 1) if error.path.startswith("[0]") else error.path
        place = place.replace("[1]", "kwargs", 1) if place.startswith("[1]") else place
        raise PayloadError(error.message, path=f"{call.name} {place}".strip()) from error.__cause__


def text(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} is a str, not {value!r}")
    if not value:
        raise ConfigurationError(f"{what} is empty; it needs a character. Nothing was changed")
    if not is_storable(value[:NAME_BYTES_MAX]) or not is_storable(value):
        raise ConfigurationError(
            f"{what} {value[:40]!r} holds a character that PostgreSQL cannot store; nothing was changed"
        )
    size = len(value.encode())
    if size > NAME_BYTES_MAX:
        raise ConfigurationError(
            f"{what} {value[:40]!r} has {size:,} bytes; {NAME_BYTES_MAX:,} are the most. Nothing was changed"
        )
    return value
