"""``continuum cluster``: the nodes of several hosts as one."""

from __future__ import annotations

import click

from continuum.wire.curve import generate_key


@click.group()
def cluster() -> None:
    """The nodes of several hosts as one."""


@cluster.command("keygen")
def keygen() -> None:
    """Print a new cluster key.

    Give the same one to every node, as CONTINUUM_CLUSTER_KEY, or in a file that `continuum node start` reads with
    --cluster-key-file. Who has it is let in: keep it as you keep a password.
    """
    click.echo(generate_key())
