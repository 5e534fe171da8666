"""Workflows of a line or two: what the scan refuses, by which rule, and what it lets pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.snippets import findings_of

CLOCK, RANDOM, ID, SLEEP = "wall-clock", "randomness", "random-id", "blocking-sleep"
ENVIRONMENT, IDENTITY, IO, NETWORK = "environment", "identity", "io", "network"
PROCESS, THREADS, LOOP, WAIT = "process", "threads", "event-loop", "unordered-wait"
DYNAMIC, CLIENT, ORDER, OUTPUT = "dynamic-code", "client", "set-order", "output"

# (rule, body, what stands above the workflow)
DIRECT = [
    (CLOCK, "return time.time()", "import time"),
    (CLOCK, "return time.monotonic()", "import time"),
    (CLOCK, "return datetime.datetime.now()", "import datetime"),
    (CLOCK, "return datetime.utcnow()", "from datetime import datetime"),
    (CLOCK, "return datetime.today()", "from datetime import datetime"),
    (CLOCK, "return date.today()", "from datetime import date"),
    (SLEEP, "time.sleep(1)", "import time"),
    (RANDOM, "return random.random()", "import random"),
    (RANDOM, "return random.choice([1, 2])", "import random"),
    (RANDOM, "return random.Random(1).random()", "import random"),
    (RANDOM, "return secrets.token_hex()", "import secrets"),
    (RANDOM, "return os.urandom(8)", "import os"),
    (ID, "return uuid.uuid4()", "import uuid"),
    (ID, "return uuid.uuid1()", "import uuid"),
    (ENVIRONMENT, "return os.environ['HOME']", "import os"),
    (ENVIRONMENT, "return os.environ.get('HOME')", "import os"),
    (ENVIRONMENT, "return os.getenv('HOME')", "import os"),
    (ENVIRONMENT, "return os.getpid()", "import os"),
    (ENVIRONMENT, "return platform.node()", "import platform"),
    (ENVIRONMENT, "return sys.argv", "import sys"),
    (IDENTITY, "return id(x)", ""),
    (IDENTITY, "return hash('a')", ""),
    (IO, "return open('f').read()", ""),
    (IO, "return input()", ""),
    (OUTPUT, "print(x)", ""),
    (IO, "return Path('f').read_text()", "from pathlib import Path"),
    (IO, "return (Path('f') / 'g').exists()", "from pathlib import Path"),
    (IO, "return os.path.exists('f')", "import os"),
    (IO, "return os.listdir('.')", "import os"),
    (IO, "sqlite3.connect('f')", "import sqlite3"),
    (IO, "shutil.rmtree('f')", "import shutil"),
    (NETWORK, "socket.create_connection(('h', 1))", "import socket"),
    (NETWORK, "urllib.request.urlopen('http://h')", "import urllib.request"),
    (NETWORK, "psycopg.connect('')", "import psycopg"),
    (NETWORK, "zmq.Context()", "import zmq"),
    (NETWORK, "import requests\nrequests.get('http://h')", ""),
    (NETWORK, "from httpx import get as fetch\nfetch('http://h')", ""),
    (NETWORK, "import aiohttp\nasync with aiohttp.ClientSession() as s: ...", ""),
    (PROCESS, "subprocess.run(['ls'])", "import subprocess"),
    (PROCESS, "os.system('ls')", "import os"),
    (PROCESS, "await asyncio.create_subprocess_exec('ls')", "import asyncio"),
    (PROCESS, "multiprocessing.Process()", "import multiprocessing"),
    (THREADS, "threading.Thread(target=x)", "import threading"),
    (THREADS, "ThreadPoolExecutor()", "from concurrent.futures import ThreadPoolExecutor"),
    (THREADS, "await asyncio.to_thread(len, x)", "import asyncio"),
    (THREADS, "await asyncio.get_running_loop().run_in_executor(None, len, x)", "import asyncio"),
    (LOOP, "asyncio.get_event_loop()", "import asyncio"),
    (LOOP, "await asyncio.open_connection('h', 1)", "import asyncio"),
    (WAIT, "await asyncio.wait([x])", "import asyncio"),
    (WAIT, "for part in asyncio.as_completed([x]): await part", "import asyncio"),
    (DYNAMIC, "return eval('1')", ""),
    (DYNAMIC, "exec('1')", ""),
    (DYNAMIC, "compile('1', 'f', 'eval')", ""),
    (DYNAMIC, "__import__('time').time()", ""),
    (DYNAMIC, "importlib.import_module('time')", "import importlib"),
    (CLIENT, "continuum.start(x)", ""),
    (CLIENT, "continuum.Client()", ""),
    (CLIENT, "signal('r', 'n')", "from continuum import signal"),
    (ORDER, "for part in {1, 2}: await sleep(part)", ""),
    (ORDER, "for part in set(x): await sleep(part)", ""),
    (ORDER, "return [part for part in frozenset(x)]", ""),
    (ORDER, "seen = {1, 2}\nreturn list(seen | {3})", ""),
    (ORDER, "await asyncio.gather(*{sleep(1), sleep(2)})", "import asyncio"),
    (ORDER, "return {1, 2}.pop()", ""),
]
RESOLVED = [
    (CLOCK, "return d.now()", "from datetime import datetime as d"),
    (CLOCK, "return t.time()", "import time as t"),
    (CLOCK, "return clock()", "from time import time as clock"),
    (CLOCK, "return clock()", "import time\nclock = time.time"),
    (CLOCK, "import time as t\nreturn t.time()", ""),
    (CLOCK, "from datetime import datetime as d\nreturn d.now()", ""),
    (CLOCK, "t = time\nreturn t.time()", "import time"),
    (CLOCK, "return Moment.now()", "from datetime import datetime\nclass Moment(datetime): ..."),
    (CLOCK, "return module.datetime.now()", "import datetime as module"),
    (CLOCK, "return make().now()", "from datetime import datetime\ndef make(): return datetime"),
    (CLOCK, "return make().now()", "from datetime import datetime\nmake = lambda: datetime(2024, 1, 1)"),
    (CLOCK, "return Shop().now()", "import time\nclass Shop:\n    def now(self): return time.time()"),
    (IO, "return x.read_bytes()", "from pathlib import Path"),
    (RANDOM, "return dice.random()", "import random\ndice = random.Random(6)"),
    (ENVIRONMENT, "env = environ\nreturn env['A']", "from os import environ"),
]
LAUNDERED = [
    (CLOCK, "return functools.partial(time.time)()", "import functools, time"),
    (CLOCK, "return list(map(time.gmtime, [1]))", "import time"),
    (CLOCK, "return getattr(time, 'time')()", "import time"),
    (CLOCK, "name = 'ti' + 'me'\nreturn getattr(time, name)()", "import time"),
    (DYNAMIC, "return getattr(time, x)()", "import time"),
    (CLOCK, "return time.__dict__['time']()", "import time"),
    (DYNAMIC, "return vars(time)['time']()", "import time"),
    (DYNAMIC, "return globals()['time']", ""),
    (
        CLOCK,
        "return operator.methodcaller('now')(datetime)",
        "import operator\nfrom datetime import datetime",
    ),
    (
        CLOCK,
        "return list(map(operator.methodcaller('now'), [datetime]))",
        "import operator\nfrom datetime import datetime",
    ),
    (CLOCK, "return operator.attrgetter('datetime.now')(datetime)()", "import datetime, operator"),
    (
        CLOCK,
        "return functools.partial(getattr, datetime, 'now')()()",
        "import functools\nfrom datetime import datetime",
    ),
    (CLOCK, "f = time.time\ng = f\nreturn g()", "import time"),
    (CLOCK, "return (f := time.time)()", "import time"),
    (CLOCK, "f, g = time.time, 1\nreturn f()", "import time"),
    (CLOCK, "def inner(clock=time.time): return clock()\nreturn inner()", "import time"),
    (CLOCK, "def inner():\n    return time.time()\nreturn inner()", "import time"),
    (CLOCK, "f = lambda: time.time()\nreturn f()", "import time"),
    (CLOCK, "return sorted([1], key=lambda _: time.time())", "import time"),
    (CLOCK, "return [time.time() for _ in range(2)]", "import time"),
    (CLOCK, "return [f() for f in [time.time]]", "import time"),
    (CLOCK, "return {'now': time.time}['now']()", "import time"),
    (CLOCK, "return CLOCKS['now']()", "import time\nCLOCKS = {'now': time.time}"),
    (CLOCK, "return [d.now() for d in (datetime,)]", "from datetime import datetime"),
    (CLOCK, "return clock()", "import functools, time\nclock = functools.partial(time.time)"),
    (
        CLOCK,
        "@timed\ndef inner(): ...\nreturn inner()",
        "import time\ndef timed(f):\n    time.time()\n    return f",
    ),
    (
        CLOCK,
        "return helper()",
        "import functools, time\n@functools.lru_cache\ndef helper(): return time.time()",
    ),
    (
        CLOCK,
        "return helper()",
        "import time\n@lambda f: lambda: f()\ndef helper(): return time.time()",
    ),
    (CLOCK, "return (time.time if x else len)()", "import time"),
    (CLOCK, "class Inner:\n    def now(self): return time.time()\nreturn Inner().now()", "import time"),
    (CLOCK, "match x:\n    case 1: return time.time()", "import time"),
    (CLOCK, "return charge.fn()", "import time\n@activity\ndef charge(): return time.time()"),
    (
        CLOCK,
        "with Timer() as t: ...",
        "import time\nclass Timer:\n    def __enter__(self): self.t = time.time()\n    def __exit__(self, *_): ...",
    ),
    (
        CLOCK,
        "return Order().due",
        "import time\nclass Order:\n    @property\n    def due(self): return time.time()",
    ),
]
ACCEPTED = [
    ("class datetime:\n    @staticmethod\n    def now(): return 1\nreturn datetime.now()", ""),
    ("return datetime.now()", "class datetime:\n    @classmethod\n    def now(cls): return 1"),
    ("time = [1]\nreturn time.copy()", "import time"),
    ("return [time for time in x]", "import time"),
    ("return lookup.time()", "class Lookup:\n    def time(self): return 1\nlookup = Lookup()"),
    (
        "return Moment.now()",
        "from datetime import datetime\nclass Moment(datetime):\n    @classmethod\n    def now(cls): return 1",
    ),
    ("return continuum.now(), continuum.today(), continuum.uuid4(), continuum.random()", ""),
    ("from continuum import now, random\nreturn now(), random()", ""),
    ("return side_effect(lambda: time.time())", "import time"),
    ("return side_effect(time.time)", "import time"),
    ("return side_effect(functools.partial(open, 'f'))", "import functools"),
    ("def roll(): return random.random()\nreturn side_effect(roll)", "import random"),
    ("f = time.time\nreturn side_effect(f)", "import time"),
    ("await sleep(1)\nawait asyncio.sleep(1)", "import asyncio"),
    ("return await asyncio.gather(sleep(1), sleep(2))", "import asyncio"),
    ("async with asyncio.TaskGroup() as group:\n    group.create_task(sleep(1))", "import asyncio"),
    ("async with asyncio.timeout(1):\n    await sleep(2)", "import asyncio"),
    (
        "e, l, q = asyncio.Event(), asyncio.Lock(), asyncio.Queue()\nawait q.put(1)\nasync with l: e.set()",
        "import asyncio",
    ),
    ("t = asyncio.create_task(sleep(1))\nawait asyncio.wait_for(t, 3)", "import asyncio"),
    ("return asyncio.get_running_loop().time()", "import asyncio"),
    (
        "return Order('a').total()",
        "import dataclasses\n@dataclasses.dataclass\nclass Order:\n    id: str\n    total = lambda _: 2",
    ),
    ("return datetime.datetime(2024, 1, 1) + datetime.timedelta(days=1)", "import datetime"),
    ("return datetime.datetime.fromisoformat('2024-01-01').isoformat()", "import datetime"),
    ("return Path('a') / 'b'", "from pathlib import Path"),
    ("return PurePath('a').name, os.path.join('a', 'b')", "import os\nfrom pathlib import PurePath"),
    ("return sorted({3, 1}), len({1}), 1 in {1}, sum({1, 2})", ""),
    ("for part in sorted(set(x)): await sleep(part)", ""),
    ("for key, value in {'a': 1}.items(): await sleep(value)", ""),
    (
        "return json.dumps(x), math.sqrt(2), re.sub('a', 'b', x), Decimal('1')",
        "import json, math, re\nfrom decimal import Decimal",
    ),
    ("return hashlib.sha256(b'').hexdigest(), uuid.uuid5(uuid.NAMESPACE_DNS, 'a')", "import hashlib, uuid"),
    ("return isinstance(x, socket.socket)", "import socket"),
    (
        "try:\n    await sleep(1)\nexcept (subprocess.CalledProcessError, OSError):\n    raise",
        "import subprocess",
    ),
    ("return helper(x)", "def helper(x): return twice(x)\ndef twice(x): return 2 * x"),
    ("return await charge(x)", "import time\n@activity\ndef charge(x): return time.time()"),
    ("logging.getLogger('a').info('b')", "import logging"),
    ("return x.name.upper(), x['a'].items(), x.lines.append(1)", ""),
    ("return [y for y in x if y.strip()]", ""),
    ("return getattr(x, 'name', None), getattr(json, 'dumps')(1)", "import json"),
    (
        "return list(map(operator.attrgetter('name'), x)), functools.reduce(max, x)",
        "import functools, operator",
    ),
    ("return urllib.parse.quote('a b')", "import urllib.parse"),
    ("def unused(): return open('f')\nreturn 1", ""),
    ("return Colour.RED.value, Colour('red')", "import enum\nclass Colour(enum.Enum):\n    RED = 'red'"),
    ("try:\n    await sleep(1)\nexcept BaseException:\n    raise", ""),
    ("value: set[int] = {1}\nvalue.add(2)\nreturn sorted(value)", ""),
]


def case_id(case: tuple[str, ...]) -> str:
    return case[-2].replace("\n", "; ")


@pytest.mark.rule("X1", "X2")
@pytest.mark.parametrize(("rule", "body", "above"), DIRECT, ids=map(case_id, DIRECT))
def test_what_a_replay_cannot_repeat_is_refused(tmp_path: Path, rule: str, body: str, above: str) -> None:
    assert rule in {finding.rule for finding in findings_of(tmp_path, body, above)}


@pytest.mark.rule("X3")
@pytest.mark.parametrize(("rule", "body", "above"), RESOLVED, ids=map(case_id, RESOLVED))
def test_a_name_is_what_it_is_bound_to(tmp_path: Path, rule: str, body: str, above: str) -> None:
    annotated = "x: Path" if "Path" in above else "x"
    assert {finding.rule for finding in findings_of(tmp_path, body, above, annotated)} == {rule}


@pytest.mark.rule("X4")
@pytest.mark.parametrize(("rule", "body", "above"), LAUNDERED, ids=map(case_id, LAUNDERED))
def test_what_is_denied_cannot_be_laundered(tmp_path: Path, rule: str, body: str, above: str) -> None:
    assert rule in {finding.rule for finding in findings_of(tmp_path, body, above)}


@pytest.mark.rule("X3", "X6")
@pytest.mark.parametrize(("body", "above"), ACCEPTED, ids=[case_id(case) for case in ACCEPTED])
def test_what_a_replay_repeats_is_accepted_without_a_word(tmp_path: Path, body: str, above: str) -> None:
    assert findings_of(tmp_path, body, above) == []


def test_there_are_enough_of_both() -> None:
    assert len(DIRECT) + len(RESOLVED) + len(LAUNDERED) >= 60 and len(ACCEPTED) >= 30
