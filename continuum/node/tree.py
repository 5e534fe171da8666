"""The supervision tree of a node.

::

    node (one_for_one)
    ├── group                  unless the node is to stay alone
    ├── router                 each can be lost and replaced alone: what a role knows beyond its
    ├── timer                  memory stands in the database, and the others are told of its death
    ├── engines (together)     before anything is started in its place. Restarting the others with
    ├── engine-alone           it (rest_for_one) would only cost them what they have in memory.
    ├── workers (together)     engine-alone is started when there is a run for it, see runtime/quarantine.
    └── dispatcher

The order matters for the stop, which goes from right to left: first nothing new is claimed, then activities finish
with engines there to commit their results, then the engines give their leases back. The dispatcher does not wait for
activities that take long: the workers keep its claims, and store those results themselves.
A group that restarts too often is restarted as a whole, and counts as one restart of the node.
"""

from __future__ import annotations

from continuum.node.config import NodeConfig
from continuum.runtime.quarantine import LONE_ENGINE
from continuum.supervisor.spec import ChildSpec, SupervisorSpec

# Generous: activities of the application may crash their worker, and that must not end the node.
_GROUP_RESTARTS_MAX, _GROUP_SECONDS = 20, 10.0
_NODE_RESTARTS_MAX, _NODE_SECONDS = 12, 30.0
_QUICK_S = 5.0
_SETTLE_S = 5.0  # for the results of what a drain has stopped
_ENGINE_S = 20.0  # commits that are open, then all leases in one statement


def tree_of(config: NodeConfig) -> SupervisorSpec:
    """The tree of a node with this configuration."""
    return SupervisorSpec(
        "node",
        (
            *((ChildSpec("group", "group", shutdown_s=_QUICK_S),) if config.cluster else ()),
            ChildSpec("router", "router", shutdown_s=_QUICK_S),
            ChildSpec("timer", "timer", shutdown_s=_QUICK_S),
            _group("engines", "engine", config.engines, _ENGINE_S),
            ChildSpec(LONE_ENGINE, "engine", "temporary", _ENGINE_S, on_demand=True),
            _group("workers", "worker", config.workers, config.drain_s + _SETTLE_S),
            ChildSpec("dispatcher", "dispatcher", shutdown_s=_QUICK_S),
        ),
        max_restarts=_NODE_RESTARTS_MAX,
        max_seconds=_NODE_SECONDS,
    )


def _group(name: str, role: str, count: int, shutdown_s: float) -> SupervisorSpec:
    children = tuple(
        ChildSpec(f"{role}-{number}", role, shutdown_s=shutdown_s) for number in range(1, count + 1)
    )
    return SupervisorSpec(
        name,
        children,
        max_restarts=_GROUP_RESTARTS_MAX,
        max_seconds=_GROUP_SECONDS,
        together=True,
    )
