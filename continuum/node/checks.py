"""What is checked before a node starts: the database, its schema, the application.

The supervisor forks all children and must stay free of connections, and of whatever an application starts when
it is imported; so all of this happens in a fork of it that ends with its answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing

import msgspec
import psycopg

from continuum.config import describe_connection_failure
from continuum.core.definitions import registry
from continuum.errors import ContinuumError, JournalError, NodeError, SchemaVersionError
from continuum.model.ids import Owner
from continuum.node.config import NodeConfig
from continuum.node.fork import answer_of
from continuum.ports.beginnings import NOTHING_NOTED, Beginnings
from continuum.postgres import check, migrate, open_store
from continuum.runtime.app import LoadedApp, load_app
from continuum.runtime.neighbours import DISPATCHER
from continuum.runtime.tasks import return_unbegun

_CONNECT_S = 10
_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0)  # between tries to register: a database that restarts is back by then


class Verdict(msgspec.Struct):
    """``error`` is the line that says why the node cannot start."""

    error: str | None = None
    app: LoadedApp | None = None


def check_start(
    config: NodeConfig,
    url: str,
    *,
    migrate_schema: bool,
    former_owners: Sequence[str],
    beginnings: Beginnings,
    release: Callable[[], None],
    lifeline_fd: int | None,
) -> LoadedApp:
    """Return what the application brings, once the database and the application are fit for a start.

    ``former_owners`` are dead, and are declared so: their runs need not wait for a TTL, and what ``beginnings`` say has
    not begun of their tasks is queued again. ``release`` runs in the
    checking process and closes what is the node's own. The end of file of ``lifeline_fd`` ends the check.

    Raises:
        NodeError: they are not, or the checking process died.
    """

    def examine() -> bytes:
        return msgspec.json.encode(_examine(config, url, migrate_schema, former_owners, beginnings))

    answer = answer_of(examine, release, lifeline_fd)
    verdict = msgspec.json.decode(answer, type=Verdict) if answer else Verdict()
    if verdict.error is not None or verdict.app is None:
        raise NodeError(verdict.error or _silence(config))
    return verdict.app


def _silence(config: NodeConfig) -> str:
    """The line for a check that ended without a word, which an import can do to its process."""
    return (
        f"the process that checks the start ended without an answer, most likely while it imported "
        f"{' or '.join(config.modules)}: look there for os._exit, a signal, or a crash in an extension. "
        "Nothing was started"
    )


def _examine(
    config: NodeConfig,
    url: str,
    migrate_schema: bool,
    former_owners: Sequence[str],
    beginnings: Beginnings,
) -> Verdict:
    try:
        _reach(url)
        _fit_schema(config, url, migrate_schema)
        app = load_app(config.modules)
        _register(config, url, former_owners, beginnings)
    except ContinuumError as error:
        return Verdict(error=str(error))
    except Exception as error:  # noqa: BLE001 - a bug here must still be one line
        return Verdict(
            error=f"the start could not be checked: {type(error).__name__}: {error}; nothing was started"
        )
    return Verdict(app=app)


def _reach(url: str) -> None:
    try:
        psycopg.connect(url, connect_timeout=_CONNECT_S).close()
    except psycopg.OperationalError as error:
        raise NodeError(describe_connection_failure(url, error)) from error


def _fit_schema(config: NodeConfig, url: str, migrate_schema: bool) -> None:
    if migrate_schema:
        migrate(url, config.schema)
        return
    try:
        check(url, config.schema)
    except SchemaVersionError as error:
        raise NodeError(f"{error.reason}; nothing was started") from error


def _register(
    config: NodeConfig,
    url: str,
    former_owners: Sequence[str],
    beginnings: Beginnings = NOTHING_NOTED,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Note the versions that this node brings (D6), and what became of its former lives, trying again for some
    seconds."""
    versions = registry.versions()
    for pause_s in (*_PAUSES_S, None):
        try:
            with closing(open_store(url, config.schema)) as store:
                store.catalog.register_workflows(versions)
                for owner in former_owners:
                    if Owner.parse(owner).engine == DISPATCHER:
                        return_unbegun(store.dispatch, beginnings, owner)
                if former_owners:
                    store.dispatch.retire(former_owners)
                return
        except JournalError:
            if pause_s is None:
                raise
            pause(pause_s)
