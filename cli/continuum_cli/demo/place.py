"""Where the demo happens: a database, a ledger and a node of its own, in a folder that is removed afterwards.

Nothing of the project is touched, and nothing is left: however the demo ends, its node ends with it, and the server
with its last user.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from continuum.config import EMBEDDED_FOLDER
from continuum.embedded import EmbeddedPostgres
from continuum.errors import NodeError
from continuum.node import Node
from continuum.postgres import migrate
from continuum_cli.failing import Refusal

WORKERS = 2
SCHEMA = "continuum"
_READY_S = 30.0
_LEDGER_VARIABLE = "SHOP_LEDGER"
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Place:
    url: str
    ledger: Path
    node: Node


def examples_folder() -> Path:
    """The folder of the example packages: in the installed package, or in the checkout.

    Raises:
        Refusal: there is none.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "examples", package.parents[1] / "examples"):
        if (folder / "shop").is_dir():
            return folder
    raise Refusal(f"the example shop is not beside {package}; the installation is damaged, install it again")


@contextlib.contextmanager
def prepared(say: Callable[[str], None]) -> Iterator[Place]:
    """Start all that the demo needs, and stop and remove it afterwards. A signal to stop is a ``KeyboardInterrupt``."""
    sys.path.insert(0, str(examples_folder()))  # the node imports from where this program does
    with contextlib.ExitStack() as stack:
        folder = _new_folder(stack)
        ledger = folder / "ledger.jsonl"
        os.environ[_LEDGER_VARIABLE] = str(ledger)
        say("starting a PostgreSQL of the demo's own")
        server = EmbeddedPostgres(folder / EMBEDDED_FOLDER)
        stack.callback(server.stop, "immediate")
        url = server.attach()
        migrate(url, SCHEMA)
        say(f"starting a node: an engine, {WORKERS} workers, and what they need")
        node = Node("shop.flows", database=url, name="demo", workers=WORKERS)
        stack.callback(node.stop, graceful=False)
        os.environ["XDG_RUNTIME_DIR"] = str(folder)  # for the run directory, if its path is too long below
        with contextlib.chdir(folder):  # the node's run directory is here, too
            _start(node, folder / "node.log")
        yield Place(url, ledger, node)
        node.stop()


def _new_folder(stack: contextlib.ExitStack) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="continuum-demo-"))
    folder.chmod(0o711)  # the unprivileged server of a root user passes through
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    for number in _STOP_SIGNALS:
        before = signal.signal(number, signal.default_int_handler)
        stack.callback(signal.signal, number, before)
    stack.callback(_ignore_signals)  # runs first: a second Ctrl-C must not interrupt the cleaning up
    return folder


def _ignore_signals() -> None:
    for number in _STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _start(node: Node, log: Path) -> None:
    """Start the node with its log in a file, where it does not disturb the screen."""
    try:
        with _standard_error_to(log):
            node.start()
        node.wait_ready(_READY_S)
    except (NodeError, TimeoutError) as error:
        lines = log.read_text(errors="replace").splitlines()
        last = f" Its log ends: {lines[-1]}" if lines else ""
        raise Refusal(f"{error}.{last}") from error


@contextlib.contextmanager
def _standard_error_to(path: Path) -> Iterator[None]:
    """Programs that are started in the body write their standard error to a file."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with path.open("ab") as file:
            os.dup2(file.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
