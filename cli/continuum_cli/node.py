"""``continuum node``: a node in the foreground, and whether one is well."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from continuum.config import resolve_database, schema_of
from continuum.node.config import DRAIN_S_MAX, LOG_LEVELS, NodeConfig, name_of_node
from continuum.node.health import Health, health_of
from continuum.node.run import supervise
from continuum.node.rundir import ProcessList
from continuum_cli.options import database_options, json_option
from continuum_cli.output import cell, print_json, show, table


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
@click.option(
    "--drain",
    type=click.FloatRange(min=0, max=DRAIN_S_MAX),
    default=30.0,
    show_default=True,
    metavar="S",
    help="Seconds that running activities have at a stop; what runs longer is stopped and does not count.",
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
    drain: float,
    migrate: bool,
    log_level: str,
    database: str | None,
    instance: str,
) -> int:
    """Run a node for APP..., importable modules with workflows and activities, in the foreground.

    It logs to standard error. SIGTERM and Ctrl-C end it in order: running activities have --drain seconds to finish,
    runs are given back. A second one ends it at once.
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
        drain_s=drain,
        log_level=log_level,
        cluster=not no_cluster,
        bind=bind,
        join=join,
        advertise=advertise,
        cluster_key_file=cluster_key_file,
    )
    return supervise(config, resolve_database(database))


@node.command("health")
@click.option("--name", help="The node's name, if it was started with one.")
@database_options
@json_option
def health(name: str | None, database: str | None, instance: str, as_json: bool) -> int:
    """Say whether the node on this host is well: exit code 0 if all of its processes run, else 1.

    For the probes of an orchestrator. Run it in the folder that the node was started in, with the same --name,
    --instance and --database. It asks neither the database nor the network, so an outage of those is no reason to
    restart the node.
    """
    schema_of(instance)
    found = health_of(resolve_database(database), instance, name_of_node(name), Path.cwd())
    if as_json:
        print_json(_as_json(found))
    elif found.processes is None:
        print(found.reason)
    else:
        _print_processes(found.processes)
        print(f"node {found.node}: {found.reason or 'well'}")
    return 0 if found.well else 1


def _as_json(found: Health) -> dict[str, object]:
    processes = [] if found.processes is None else [asdict(info) for info in found.processes.processes]
    pid = None if found.processes is None else found.processes.pid
    facts = {"node": found.node, "instance": found.instance, "well": found.well, "reason": found.reason}
    return facts | {"supervisor_pid": pid, "processes": processes}


def _print_processes(listed: ProcessList) -> None:
    shown = table("PROCESS", "ROLE", "PID", "STATE", "RESTARTS")
    shown.add_row("supervisor", "supervisor", str(listed.pid), cell("running", "green"), "")
    for info in listed.processes:
        style = "green" if info.state == "running" else "yellow"
        shown.add_row(info.child_id, info.role, str(info.pid), cell(info.state, style), str(info.restarts))
    show(shown)
