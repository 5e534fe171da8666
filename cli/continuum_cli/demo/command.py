"""``continuum demo``: puts the demo together."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from time import monotonic
from typing import Any

import click

from continuum.client import Client
from continuum_cli.demo.orders import Watched
from continuum_cli.demo.place import Place, prepared
from continuum_cli.demo.proof import Finding, findings_of
from continuum_cli.demo.screen import print_findings, shown
from continuum_cli.demo.story import ORDERS, Show, Story


@click.command()
def demo() -> int:
    """Run a small shop on a node, and kill -9 its processes in the middle.

    It brings its own PostgreSQL in a temporary folder, takes about 20 seconds and leaves nothing behind. Exit code 0
    if every order was finished and every charge made exactly once.
    """
    began_at = monotonic()
    with shown() as show, prepared(show.say) as place:
        findings = _play(show, place)
    print_findings(findings, monotonic() - began_at)
    return 0 if all(finding.fine for finding in findings) else 1


def _play(show: Show, place: Place) -> list[Finding]:
    flows: Any = importlib.import_module("shop.flows")
    ledger: Any = importlib.import_module("shop.ledger")

    def make_call(id: str, cents: int) -> Any:
        return flows.checkout(flows.Order(id, cents))

    with Client(place.url) as client:
        show.say("orders come in; each is charged, approved, held for 2 s, and shipped")
        story = Story(client, place.node, make_call, show)
        story.tell()
        results = {run.key: run.result for run in client.query(limit=ORDERS).runs}
        gaps = _gaps(client, story.orders)
    show.say("stopping the node and the database")
    return findings_of(story.orders, results, ledger.entries(place.ledger), gaps, story.victims)


def _gaps(client: Client, orders: Sequence[Watched]) -> list[str]:
    """Orders whose journal is not numbered 1, 2, 3 and so on."""
    found = []
    for order in orders:
        numbers = [event.seq for event in client.history(order.run_id)]
        if numbers != list(range(1, len(numbers) + 1)):
            found.append(order.id)
    return found
