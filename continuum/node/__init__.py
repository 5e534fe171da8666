"""A node of Continuum: the processes on one host that run workflows and activities.

`run_node` is a node in the foreground, `Node` one as a part of a program; both are the same tree under the same
supervisor. This package builds the adapters: roles, stores and sockets meet here and nowhere else.
"""

from continuum.node.config import NodeConfig
from continuum.node.embedding import Node
from continuum.node.rundir import ProcessList, ProcessRow, read_processes

__all__ = ["Node", "NodeConfig", "ProcessList", "ProcessRow", "read_processes", "run_node"]


def run_node(config: NodeConfig) -> int:
    """Run a node in the foreground until it is stopped or fails, and return the exit code: see `run.run_node`."""
    from continuum.node import run  # late: a program that only embeds a node does not need the roles

    return run.run_node(config)
