"""Where a node listens for the others, where they reach it, and who they are to begin with."""

from __future__ import annotations

import socket
from collections.abc import Iterable

import psycopg
from psycopg.conninfo import conninfo_to_dict

from continuum.errors import ConfigurationError
from continuum.node.config import NodeConfig
from continuum.wire.curve import ClusterKey
from continuum.wire.endpoint import SCHEME, Endpoint, parse_endpoint

_NOWHERE = (
    "192.0.2.1"  # for documentation (RFC 5737): only the default route leads there, and nothing is sent
)


def bind_of(config: NodeConfig, key: ClusterKey | None) -> Endpoint:
    """Return where the node listens. What is not given is chosen: every address with a key, the loopback interface
    without one, and a free port: the database tells the others.

    Raises:
        ConfigurationError: other hosts could reach it, and there is no key to keep strangers out.
    """
    if config.bind is None:
        return Endpoint("0.0.0.0" if key is not None else "127.0.0.1", 0)
    bind = parse_endpoint(config.bind)
    if bind.host == "localhost":
        bind = bind._replace(host="127.0.0.1")
    if key is None and not bind.is_loopback:
        raise ConfigurationError(
            f"{SCHEME}{bind} can be reached from other hosts, and there is no cluster key to keep strangers out; "
            "nothing was started. `continuum cluster keygen` prints a key: give the same one to every node, as "
            "CONTINUUM_CLUSTER_KEY or in a file with --cluster-key-file"
        )
    return bind


def advertised_of(config: NodeConfig, bound: Endpoint, database_url: str) -> Endpoint:
    """Return where the others reach what is bound: as configured, else the address itself; of every address, the one
    from which this machine reaches another node, the database or anything, the first that is not the loopback."""
    if config.advertise is not None:
        return parse_endpoint(config.advertise, bound.port)
    if not bound.is_wildcard:
        return bound
    targets = [*(parse_endpoint(seed).host for seed in config.join), *_database_hosts(database_url), _NOWHERE]
    for target in targets:
        own = _source_towards(target)
        if own is not None and not Endpoint(own, 0).is_loopback:
            return Endpoint(own, bound.port)
    return Endpoint("127.0.0.1", bound.port)


def resolve(seeds: Iterable[str]) -> list[str]:
    """Return every address that the seeds name, by DNS where they are names; those that cannot be found are left out
    for now. It waits for the network."""
    found: dict[str, None] = {}
    for seed in seeds:
        endpoint = parse_endpoint(seed)
        try:
            answers = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
        except OSError:
            continue
        for *_, place in answers:
            found[str(Endpoint(str(place[0]), endpoint.port))] = None
    return list(found)


def _database_hosts(url: str) -> list[str]:
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        return []
    hosts = str(parts.get("hostaddr") or parts.get("host") or "").split(",")
    return [host for host in hosts if host and not host.startswith(("/", "@"))]


def _source_towards(host: str) -> str | None:
    """Return the address from which this machine would talk to ``host``; nothing is sent."""
    try:
        family, kind, _, _, place = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(place)
            return str(probe.getsockname()[0])
    except OSError:
        return None
