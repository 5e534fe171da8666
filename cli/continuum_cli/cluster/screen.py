"""A view of a cluster as text that is as wide as the terminal: tables, and what is stuck below them.

Eighty columns have room for the numbers that matter; a wider terminal gets addresses, versions and workflows, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from continuum.cluster.status import MemberStatus, ProcessStatus
from continuum.model.ids import Owner
from continuum.ports.overview import Overview, OwnerView
from continuum_cli.cluster.view import View
from continuum_cli.output import cell, span, table

WIDE = 120
FINDINGS_MAX = 15
_STYLES = {"alive": "green", "suspect": "yellow", "dead": "bold red", "left": "dim"}
_ROLES = ("supervisor", "group", "router", "timer", "dispatcher", "engine", "worker", "observer")


class Picture:
    """A renderable of one view."""

    def __init__(self, view: View) -> None:
        self._view = view

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        view, wide = self._view, options.max_width >= WIDE
        yield _head(view)
        yield from _notes(view)
        if view.members:
            yield _part("HOSTS", _hosts(view, wide))
            yield _part("PROCESSES", _trees(view))
            if any(node.engines or node.workers for node in view.nodes.values()):
                yield _part("ENGINES AND WORKERS", _loads(view))
        if view.overview is not None:
            yield from _database(view, view.overview)
        yield from _stuck(view)


def _head(view: View) -> Text:
    text = Text("Continuum", style="bold")
    text.append(f"  instance {view.instance}", style="not bold")
    if view.members:
        text.append(f"  {len(view.alive)} of {len(view.members)} hosts alive", style="not bold")
        text.append(f"  seen by {view.seen_by}", style="not bold dim")
    text.append(f"  {view.at.astimezone():%H:%M:%S}", style="not bold dim")
    return text


def _notes(view: View) -> Iterator[Text]:
    if view.group_error:
        line = f"The group cannot be asked: {view.group_error}. This is what the database knows."
        yield Text(line, style="yellow")
    if view.database_error:
        yield Text(f"The database cannot be asked: {view.database_error}", style="yellow")


def _part(title: str, content: RenderableType) -> Group:
    return Group(Text(f"\n{title}", style="bold"), content)


def _hosts(view: View, wide: bool) -> Table:
    more = ("ADDRESS", "VERSION", "QUEUES", "VERSIONS") if wide else ()
    shown = table("HOST", "HEALTH", "UP", "RTT", "LIVE", "PARKED", "COMMITS/S", "BATCH", "BUSY", *more)
    for member in sorted(view.members, key=lambda member: member.name):
        load, here = member.load, member.status in ("alive", "suspect")
        numbers = [
            f"{load.live:,}",
            f"{load.parked:,}",
            f"{load.commits_s:,.0f}",
            f"{load.batch:.1f}",
            f"{load.busy}/{load.slots}",
        ]
        about = member.about
        rest = [member.address, about.version, ", ".join(about.queues), str(about.of)] if wide else []
        shown.add_row(
            cell(member.name),
            cell(_health(member), _STYLES.get(member.status, "")),
            _up(view, member),
            "-" if member.rtt_s is None else f"{member.rtt_s * 1000:.1f}ms",
            *(numbers if here else [""] * len(numbers)),
            *(cell(text) for text in rest),
        )
    return shown


def _up(view: View, member: MemberStatus) -> str:
    """For how long the node has been running, nothing for one that is gone. It has measured that itself; of one that
    does not answer only the start is known, by its own clock, and for how long others have seen it."""
    if member.status in ("dead", "left"):
        return ""
    node, started = view.nodes.get(member.name), member.about.started_at
    if node is not None and node.up_s:
        return span(node.up_s)
    return span(max(view.at.timestamp() - started, member.since_s)) if started else "?"


def _health(member: MemberStatus) -> str:
    """The status, and for how long a node that is gone has been so."""
    return f"{member.status} {span(member.since_s)}" if member.status in ("dead", "left") else member.status


def _trees(view: View) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, node in sorted(view.nodes.items()):
        grid.add_row(cell(name), _tree(node.processes))
    for member in view.alive:
        if member.name not in view.nodes:
            grid.add_row(cell(member.name), Text("did not answer", style="yellow"))
    return grid


def _tree(processes: Sequence[ProcessStatus]) -> Text:
    """All processes in the order of the tree; what has been restarted, or does not run, is coloured and says so."""
    line = Text()
    for process in sorted(processes, key=_place):
        style, suffix = "", ""
        if process.restarts:
            style, suffix = "yellow", f" ↻{process.restarts}"
        if process.state != "running":
            style, suffix = "bold red", f" {process.state}{suffix}"
        line.append("  " if line else "")
        line.append(f"{process.name}{suffix}", style=style)
    return line


def _place(process: ProcessStatus) -> tuple[int, str]:
    return (_ROLES.index(process.role) if process.role in _ROLES else len(_ROLES), process.name)


def _loads(view: View) -> Table:
    shown = table("HOST", "PROCESS", "LIVE", "PARKED", "FREE", "COMMITS/S", "BATCH", "BUSY", "QUEUES")
    for name, node in sorted(view.nodes.items()):
        for engine, load in sorted(node.engines.items()):
            numbers = [f"{load.live:,}", f"{load.parked:,}", f"{load.free:,}"]
            shown.add_row(cell(name), engine, *numbers, f"{load.commits_s:,.0f}", f"{load.batch:.1f}")
        for worker, busy in sorted(node.workers.items()):
            share = f"{busy.busy}/{busy.slots}"
            shown.add_row(cell(name), worker, "", "", "", "", "", share, cell(", ".join(busy.queues)))
    return shown


def _database(view: View, overview: Overview) -> Iterator[RenderableType]:
    due = f"{overview.due:,} due"
    if overview.oldest_s is not None:
        due += f", the oldest for {span(overview.oldest_s)}"
    yield _part("RUNS WITHOUT AN OWNER", Text(f"{due}; {overview.sleeping:,} wait for a time"))
    if overview.queues:
        yield _part("QUEUES", _queues(overview))
    if not view.members and overview.owners:
        yield _part("OWNERS", _owners(overview.owners))
    elif lost := [owner for owner in view.owners_without_host() if owner.runs or owner.tasks]:
        yield _part("OWNERS WITHOUT A HOST", _owners(lost))


def _queues(overview: Overview) -> Table:
    shown = table("QUEUE", "QUEUED", "DUE", "OLDEST", "RUNNING")
    for view in overview.queues:
        oldest = "" if view.oldest_s is None else span(view.oldest_s)
        shown.add_row(cell(view.queue), f"{view.queued:,}", f"{view.due:,}", oldest, f"{view.running:,}")
    return shown


def _owners(owners: Sequence[OwnerView]) -> Table:
    shown = table("NODE", "PROCESS", "RUNS", "TASKS", "EXPIRES")
    for owner in owners:
        left = owner.expires_in_s
        expires = Text(f"in {span(left)}") if left > 0 else Text(f"{span(-left)} ago", style="red")
        shown.add_row(
            cell(owner.node), cell(_process_of(owner)), f"{owner.runs:,}", f"{owner.tasks:,}", expires
        )
    return shown


def _process_of(owner: OwnerView) -> str:
    try:
        return Owner.parse(owner.owner).engine
    except ValueError:
        return owner.owner


def _stuck(view: View) -> Iterator[RenderableType]:
    findings = view.findings()
    if not findings:
        yield Text("\nNothing is stuck.", style="green")
        return
    lines = [Text(f"- {cell(line).plain}", style="yellow") for line in findings[:FINDINGS_MAX]]
    if len(findings) > FINDINGS_MAX:
        lines.append(
            Text(f"- and {len(findings) - FINDINGS_MAX} more lines (--json has them)", style="yellow")
        )
    yield _part("LOOK AT", Text("\n").join(lines))
