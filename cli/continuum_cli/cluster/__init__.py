"""``continuum cluster``: the nodes of several hosts as one."""
