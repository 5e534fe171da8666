"""What is known of a cluster at one moment: by its group, by its nodes, and by the database.

::

    database ──► overview, addresses of groups
    one group ─► members                        the first that answers
    each group ► its own processes, engines, workers, all at once

Each part may be missing. What is missing is said, and the rest is shown as what it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from continuum.cluster.status import MemberStatus, NodeStatus, decode_status
from continuum.errors import ContinuumError, NodeError
from continuum.model.ids import Owner
from continuum.ports.overview import Overview, OwnerView
from continuum.postgres import PostgresStore
from continuum.wire.curve import ClusterKey
from continuum.wire.inquiry import ask_status
from continuum_cli.output import span

ASK_S = 1.5
ASKED_MAX = 64  # nodes that are asked for their own processes; of the others the group's word is shown
LATE_S = 30.0  # what waits for longer is something to look at
_THREADS = 16


@dataclass(frozen=True, slots=True)
class View:
    """``members`` as ``seen_by`` sees them; ``nodes``: what each said of itself. ``group_error`` says why there are no
    members, ``database_error`` why there is no overview; "" where there is no error."""

    at: datetime
    instance: str
    seen_by: str = ""
    members: Sequence[MemberStatus] = ()
    nodes: dict[str, NodeStatus] = field(default_factory=dict)
    group_error: str = ""
    overview: Overview | None = None
    database_error: str = ""

    @property
    def alive(self) -> list[MemberStatus]:
        return [member for member in self.members if member.status == "alive"]

    def owners_without_host(self) -> list[OwnerView]:
        """Owners whose node the group does not see alive, or, without a group, that have expired."""
        if self.overview is None:
            return []
        lives = {(member.name, member.boot) for member in self.alive}
        return [owner for owner in self.overview.owners if not self._has_host(owner, lives)]

    def unserved_queues(self) -> list[str]:
        """Queues with work that no living worker serves, as far as the group tells."""
        if self.overview is None or not self.members:
            return []
        served = {queue for member in self.alive for queue in member.about.queues}
        return [view.queue for view in self.overview.queues if view.due and view.queue not in served]

    def findings(self) -> list[str]:
        """What a person should look at, a line each."""
        return list(_findings(self))

    def _has_host(self, owner: OwnerView, lives: set[tuple[str, str]]) -> bool:
        if not self.members:
            return owner.expires_in_s > 0
        try:
            parsed = Owner.parse(owner.owner)
        except ValueError:
            return False
        return (parsed.node, parsed.boot) in lives


def look(
    instance: str, store: PostgresStore | None, database_error: str, ask: str | None, key: ClusterKey | None
) -> View:
    """Gather a view. ``ask`` is the address of a node to ask; without it, the database says where they are."""
    at, overview = datetime.now(UTC), None
    if store is not None:
        try:
            overview = store.catalog.overview()
        except ContinuumError as error:
            database_error = str(error)
    addresses = [ask] if ask else _addresses(overview)
    first, group_error = _first_answer(addresses, key)
    if first is None:
        return View(at, instance, group_error=group_error, overview=overview, database_error=database_error)
    nodes = {first.node: first} | _ask_all(first, key)
    return View(at, instance, first.node, first.members, nodes, "", overview, database_error)


def _addresses(overview: Overview | None) -> list[str]:
    owners = [] if overview is None else overview.owners
    return [owner.address for owner in owners if owner.address and owner.expires_in_s > 0]


def _first_answer(addresses: list[str], key: ClusterKey | None) -> tuple[NodeStatus | None, str]:
    error = "no node has said where its group is reached"
    for address in addresses[:3]:
        try:
            return _asked(address, key), ""
        except NodeError as failure:
            error = str(failure)
    return None, error


def _ask_all(first: NodeStatus, key: ClusterKey | None) -> dict[str, NodeStatus]:
    others = [m for m in first.members if m.status in ("alive", "suspect") and m.name != first.node]

    def ask(member: MemberStatus) -> NodeStatus | None:
        try:
            return _asked(member.address, key)
        except NodeError:
            return None

    with ThreadPoolExecutor(_THREADS) as pool:
        answers = pool.map(ask, others[:ASKED_MAX])
        return {answer.node: answer for answer in answers if answer is not None}


def _asked(address: str, key: ClusterKey | None) -> NodeStatus:
    data = ask_status(address, key, ASK_S)
    try:
        return decode_status(data)
    except msgspec.MsgspecError as error:
        raise NodeError(
            f"the answer of {address} cannot be read: {error}; is it of another version?"
        ) from error


def _findings(view: View) -> Iterator[str]:
    if (
        view.group_error
        and view.overview is not None
        and all(o.expires_in_s <= 0 for o in view.overview.owners)
    ):
        yield "no node is running: nothing goes on"
    yield from _hosts(view)
    for owner in view.owners_without_host():
        if owner.runs or owner.tasks:
            yield f"owner {owner.owner} has no host: {owner.runs} runs, {owner.tasks} tasks"
    if view.overview is not None:
        yield from _waiting(view, view.overview)


def _hosts(view: View) -> Iterator[str]:
    for member in view.members:
        if member.status in ("suspect", "dead"):
            yield f"host {member.name} is {member.status}, for {span(member.since_s)}"
        elif member.status == "alive" and member.name not in view.nodes:
            yield f"host {member.name} is alive, and did not answer"
    for node in view.nodes.values():
        for process in node.processes:
            if process.state != "running":
                yield f"{node.node}: {process.name} is {process.state}"
        for name, worker in sorted(node.workers.items()):
            for line in worker.stuck:
                yield f"{node.node}: {name}: {line}"


def _waiting(view: View, overview: Overview) -> Iterator[str]:
    unserved = view.unserved_queues()
    for queue in overview.queues:
        if queue.queue in unserved:
            yield f"queue {queue.queue} has work and no worker"
        elif queue.oldest_s is not None and queue.oldest_s > LATE_S:
            yield f"queue {queue.queue} has {queue.due} tasks to do, the oldest for {span(queue.oldest_s)}"
    if overview.oldest_s is not None and overview.oldest_s > LATE_S:
        yield f"{overview.due} runs are due and nobody takes them, the oldest for {span(overview.oldest_s)}"
    if overview.stuck_count > len(overview.stuck):
        yield f"{overview.stuck_count:,} runs wait for you; the first {len(overview.stuck)} of them:"
    for run in overview.stuck:
        yield f"run {run.id} ({run.workflow}) waits for you: {run.attention}"
