"""Lines for people about what only people can mend, each at most once a minute."""

from __future__ import annotations

import logging
import math

AGAIN_S = 60.0
KEPT_MAX = 1_000

log = logging.getLogger("continuum")


class Complaints:
    def __init__(self) -> None:
        self._again_at: dict[str, float] = {}

    def refused(self, now: float, address: str, secure: bool) -> None:
        """A handshake failed: with the host at ``address`` that we called, or with a caller for ""."""
        if not self._is_due(now, f"refused {address}"):
            return
        if address and secure:
            what = f"the node at {address} has another cluster key, or none"
        elif address:
            what = f"the node at {address} asks for a cluster key, and this one has none"
        else:
            what = "somebody with another cluster key, or none, was not let in (more may follow)"
        log.warning(
            "%s: give every node of a cluster the same key, by CONTINUUM_CLUSTER_KEY or --cluster-key-file",
            what,
        )

    def ignored(self, now: float, reason: str) -> None:
        """A packet was not for this node."""
        if self._is_due(now, "ignored"):
            log.warning("ignored: %s (more may follow)", reason)

    def name_taken(self, now: float, name: str, address: str) -> None:
        """A later node has this node's name."""
        if self._is_due(now, "name"):
            log.error(
                "another node named %s runs at %s, and the group listens to that one; this one works through the "
                "database alone. Give each node its own --name",
                *(name, address),
            )

    def _is_due(self, now: float, what: str) -> bool:
        if now < self._again_at.get(what, -math.inf):
            return False
        if len(self._again_at) >= KEPT_MAX:
            self._again_at.clear()
        self._again_at[what] = now + AGAIN_S
        return True
