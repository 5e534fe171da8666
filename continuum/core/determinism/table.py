"""What workflow code may not use, and what to write instead (X2).

A name is dotted, as the object is imported, and denies everything below it; the longest name that fits decides, so
that ``ALLOWED`` can take a part out again. ``docs/determinism.md`` shows this table, and a test keeps them equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Denial(NamedTuple):
    """Names that one rule refuses, and the remedy that a person reads."""

    rule: str
    remedy: str
    names: tuple[str, ...]


_ACTIVITY = "do it in an @activity and await its result"

DENIED: tuple[Denial, ...] = (
    Denial(
        "wall-clock",
        "use continuum.now() or continuum.today(): the time of the event being processed",
        (
            "time",
            "datetime.datetime.now",
            "datetime.datetime.utcnow",
            "datetime.datetime.today",
            "datetime.date.today",
            "timeit",
        ),
    ),
    Denial("blocking-sleep", "use await continuum.sleep(seconds), a durable timer", ("time.sleep", "sched")),
    Denial(
        "randomness",
        "use continuum.random(), or continuum.side_effect(fn) to journal what fn draws",
        ("random", "secrets", "os.urandom", "os.getrandom", "numpy.random"),
    ),
    Denial(
        "random-id",
        "use continuum.uuid4(), which is the same in every replay",
        (
            "uuid.uuid1",
            "uuid.uuid4",
            "uuid.uuid6",
            "uuid.uuid7",
            "uuid.uuid8",
            "uuid.getnode",
        ),
    ),
    Denial(
        "environment",
        "pass it as an argument of the workflow, or read it with continuum.side_effect(fn)",
        (
            "os.environ",
            "os.environb",
            "os._Environ",
            "os.getenv",
            "os.getenvb",
            "os.getpid",
            "os.getppid",
            "os.getcwd",
            "os.getcwdb",
            "os.getlogin",
            "os.uname",
            "os.cpu_count",
            "sys",
            "platform",
            "getpass",
            "locale",
            "pwd",
            "grp",
            "resource",
            "gc",
            "tracemalloc",
            "pathlib.Path.cwd",
            "pathlib.Path.home",
            "os.path.expanduser",
            "os.path.expandvars",
        ),
    ),
    Denial(
        "identity",
        "use a key of your own, or hashlib.sha256: id() and hash() differ from process to process",
        ("builtins.id", "builtins.hash"),
    ),
    Denial(
        "output",
        "use logging, whose lines may come again in a replay, or print in an @activity",
        ("builtins.print",),
    ),
    Denial(
        "io",
        _ACTIVITY,
        (
            "builtins.open",
            "builtins.input",
            "io.open",
            "io.open_code",
            "io.FileIO",
            "io.TextIOWrapper",
            "io.BufferedReader",
            "io.BufferedWriter",
            "io.BufferedRandom",
            "os",
            *(
                f"os.path.{name}"
                for name in (
                    *("abspath", "exists", "getatime", "getctime", "getmtime", "getsize", "isdir", "isfile"),
                    *("islink", "ismount", "lexists", "realpath", "relpath", "samefile"),
                )
            ),
            *(
                f"pathlib.Path.{name}"
                for name in (
                    *("absolute", "chmod", "copy", "copy_into", "exists", "expanduser", "glob", "group"),
                    *("hardlink_to", "is_block_device", "is_char_device", "is_dir", "is_fifo", "is_file"),
                    *("is_junction", "is_mount", "is_socket", "is_symlink", "iterdir", "lchmod", "lstat"),
                    *("mkdir", "move", "move_into", "open", "owner", "read_bytes", "read_text", "readlink"),
                    *("rename", "replace", "resolve", "rglob", "rmdir", "samefile", "stat", "symlink_to"),
                    *("touch", "unlink", "walk", "write_bytes", "write_text"),
                )
            ),
            *("fcntl", "fileinput", "glob", "linecache", "mmap", "shutil", "tempfile", "termios", "tty"),
            *("dbm", "shelve", "sqlite3", "syslog", "curses", "readline", "webbrowser"),
        ),
    ),
    Denial(
        "network",
        _ACTIVITY,
        (
            *(
                "socket",
                "socketserver",
                "select",
                "selectors",
                "ssl",
                "ftplib",
                "imaplib",
                "nntplib",
                "poplib",
            ),
            *("smtplib", "telnetlib", "urllib", "http.client", "http.server", "xmlrpc", "wsgiref"),
            *("requests", "httpx", "aiohttp", "urllib3", "websockets", "grpc", "boto3", "botocore", "zmq"),
            *("psycopg", "psycopg2", "psycopg_pool", "asyncpg", "sqlalchemy", "pymongo", "redis"),
        ),
    ),
    Denial(
        "process",
        _ACTIVITY,
        (
            *("subprocess", "multiprocessing", "signal", "pty", "ctypes", "atexit", "faulthandler"),
            *(
                "os.system",
                "os.popen",
                "os.fork",
                "os.forkpty",
                "os.kill",
                "os.killpg",
                "os.abort",
                "os._exit",
            ),
            *("os.execv", "os.execve", "os.spawnv", "os.spawnve", "os.posix_spawn", "os.posix_spawnp"),
            *("builtins.breakpoint", "builtins.exit", "builtins.quit", "pdb"),
            *("asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell", "asyncio.subprocess"),
        ),
    ),
    Denial(
        "threads",
        "use an @activity, and asyncio.gather or asyncio.TaskGroup to run several side by side",
        (
            *("threading", "_thread", "concurrent", "queue", "asyncio.to_thread"),
            *("asyncio.run_coroutine_threadsafe", "asyncio.AbstractEventLoop.run_in_executor"),
            *(
                "asyncio.AbstractEventLoop.call_soon_threadsafe",
                "asyncio.AbstractEventLoop.set_default_executor",
            ),
        ),
    ),
    Denial(
        "event-loop",
        "await in the workflow itself, which has its own loop; use an @activity for connections",
        (
            *("asyncio.get_event_loop", "asyncio.new_event_loop", "asyncio.set_event_loop", "asyncio.run"),
            *("asyncio.Runner", "asyncio.get_event_loop_policy", "asyncio.set_event_loop_policy"),
            *("asyncio.open_connection", "asyncio.open_unix_connection", "asyncio.start_server"),
            *("asyncio.start_unix_server", "asyncio.AbstractEventLoop.run_until_complete"),
            *("asyncio.AbstractEventLoop.run_forever", "asyncio.AbstractEventLoop.create_connection"),
            *("asyncio.AbstractEventLoop.create_server", "asyncio.AbstractEventLoop.getaddrinfo"),
            *("asyncio.AbstractEventLoop.subprocess_exec", "asyncio.AbstractEventLoop.subprocess_shell"),
        ),
    ),
    Denial(
        "unordered-wait",
        "use asyncio.gather or asyncio.TaskGroup, whose results come in the order of the calls",
        ("asyncio.wait", "asyncio.as_completed"),
    ),
    Denial(
        "dynamic-code",
        "call the function by its name, so that the scan can see it",
        (
            *(
                "builtins.eval",
                "builtins.exec",
                "builtins.compile",
                "builtins.__import__",
                "builtins.globals",
            ),
            *("builtins.__loader__", "builtins.__builtins__"),
            *("importlib", "runpy", "pkgutil", "code", "codeop", "sys.modules", "sys._getframe"),
        ),
    ),
    Denial(
        "client",
        "await the call itself inside a workflow, or call the client from an @activity",
        (
            *("continuum.start", "continuum.start_many", "continuum.signal", "continuum.cancel"),
            *("continuum.result", "continuum.get_run", "continuum.handle", "continuum.history"),
            *("continuum.query", "continuum.set_attributes", "continuum.configure"),
            *("continuum.Client", "continuum.AsyncClient", "continuum.Node"),
            *("continuum.client", "continuum.node", "continuum.testing"),
        ),
    ),
    Denial(
        "global-state",
        "make it inside the workflow: what a module holds is shared by all runs, and kept by none",
        (),
    ),
    Denial(
        "collection",
        "hold the object itself: when the last reference to it goes differs from process to process",
        ("weakref",),
    ),
    Denial(
        "set-order",
        "iterate over sorted(...) or a list: the order of a set differs from process to process",
        ("builtins.set.pop",),
    ),
)

# Parts of what is denied that only compute.
ALLOWED: tuple[str, ...] = (
    *("os.path", "os.fspath", "os.sep", "os.altsep", "os.extsep", "os.pathsep", "os.linesep", "os.PathLike"),
    *("urllib.parse", "sys.maxsize", "sys.float_info", "sys.byteorder", "sys.exc_info", "sys.maxunicode"),
    *("sys.intern", "sys.version_info", "sys.getrecursionlimit"),
)

# Where an object says it is from, and the name by which people import it.
ALIASES: tuple[tuple[str, str], ...] = (
    ("posix", "os"),
    ("nt", "os"),
    ("posixpath", "os.path"),
    ("ntpath", "os.path"),
    ("genericpath", "os.path"),
    ("_io", "io"),
    ("_operator", "operator"),
    ("_functools", "functools"),
    ("_socket", "socket"),
    ("_sqlite3", "sqlite3"),
    ("_pydatetime", "datetime"),
    ("_asyncio", "asyncio"),
    ("_weakref", "weakref"),
    ("_weakrefset", "weakref"),
    *((f"asyncio.{part}", "asyncio") for part in ("events", "tasks", "threads", "runners", "streams")),
    ("pathlib._local", "pathlib"),
    ("pathlib._abc", "pathlib"),
    ("continuum.core.effects", "continuum"),
)

_RULES: dict[str, Denial | None] = {name: denial for denial in DENIED for name in denial.names}
_RULES.update(dict.fromkeys(ALLOWED))
_ALIASES = dict(ALIASES)
_GUARDED = frozenset(
    name.rsplit(".", parts)[0]
    for name in _RULES
    for parts in range(name.count(".") + 1)
    if _RULES[name] is not None
)


def denial_of_name(name: str) -> Denial | None:
    """Return what refuses a dotted name: the entry of the longest part of it that the table has."""
    while name:
        if name in _RULES:
            return _RULES[name]
        name = name.rpartition(".")[0]
    return None


def rule_named(rule: str) -> Denial:
    """Return the entry of a rule, for findings that are constructs and no names."""
    return next(denial for denial in DENIED if denial.rule == rule)


def is_guarded(name: str) -> bool:
    """Whether something of this module or class is denied, or the whole of it."""
    return name in _GUARDED or denial_of_name(name) is not None


def usual_name(module: str) -> str:
    """Return the name by which people import from a module."""
    return _ALIASES.get(module, module)


def shown(name: str) -> str:
    """A denied name as people write it."""
    return name.removeprefix("builtins.")


def rows() -> Iterator[tuple[str, str, str]]:
    """Every denied name with its rule and remedy, in the order of the table."""
    for denial in DENIED:
        for name in denial.names:
            yield shown(name), denial.rule, denial.remedy
