"""``continuum node``: a node in the foreground."""

from __future__ import annotations

import click

from continuum.config import resolve_database
from continuum.node.config import LOG_LEVELS, NodeConfig
from continuum.node.run import supervise
from continuum_cli.options import database_options


@click.group()
def node() -> None:
    """Run a node: the processes that run workflows."""


@node.command("start")
@click.argument("app", nargs=-1, required=True)
@click.option("--name", help="Name of the node, one of its kind in the cluster.  [default: the host's name]")
@click.option(
    "--engines", type=click.IntRange(0, 64), default=1, show_default=True, help="Processes for workflows."
)
@click.option(
    "--workers", type=click.IntRange(0, 64), default=2, show_default=True, help="Processes for activities."
)
@click.option(
    "--queues", default="default", show_default=True, metavar="A,B", help="Queues that the workers serve."
)
@click.option(
    "--bind",
    metavar="tcp://HOST:PORT",
    help="Where other nodes reach this one.  [default: every address with a cluster key, else this machine only]",
)
@click.option(
    "--join",
    multiple=True,
    metavar="HOST:PORT",
    help="A node to begin with, may be repeated; a name may stand for several.  [default: the database knows]",
)
@click.option("--advertise", metavar="HOST:PORT", help="What to tell other nodes instead of --bind.")
@click.option("--cluster-key-file", metavar="FILE", help="The key that all nodes of the cluster share.")
@click.option(
    "--no-cluster", is_flag=True, help="Stay out of the group of nodes: all goes through the database."
)
@click.option("--migrate", is_flag=True, help="Bring an older schema forward first.")
@click.option("--log-level", type=click.Choice(LOG_LEVELS), default="info", show_default=True)
@database_options
def start(
    app: tuple[str, ...],
    name: str | None,
    engines: int,
    workers: int,
    queues: str,
    bind: str | None,
    join: tuple[str, ...],
    advertise: str | None,
    cluster_key_file: str | None,
    no_cluster: bool,
    migrate: bool,
    log_level: str,
    database: str | None,
    instance: str,
) -> int:
    """Run a node for APP..., importable modules with workflows and activities, in the foreground.

    It logs to standard error. SIGTERM and Ctrl-C end it in order: running activities finish, runs are given back.
    """
    config = NodeConfig(
        modules=app,
        database=database,
        instance=instance,
        name=name,
        engines=engines,
        workers=workers,
        queues=tuple(part.strip() for part in queues.split(",")),
        migrate=migrate,
        log_level=log_level,
        cluster=not no_cluster,
        bind=bind,
        join=join,
        advertise=advertise,
        cluster_key_file=cluster_key_file,
    )
    return supervise(config, resolve_database(database))
