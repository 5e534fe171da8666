"""Hostile bytes do nothing: they give a value or a payload error, without depth or memory."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import UTC, datetime

import msgpack  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from continuum.errors import PayloadError
from continuum.model.payload import decode, encode
from tests.unit.payload_values import NESTING_MAX, values


def extension(code: int, data: bytes) -> bytes:
    return b"\xc9" + len(data).to_bytes(4, "big") + bytes([code]) + data


def read_hostile(data: bytes) -> object:
    try:
        return decode(data)
    except PayloadError as error:
        return error


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=2000))
def test_random_bytes_give_a_value_or_a_payload_error(data: bytes) -> None:
    read_hostile(data)


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 12) | st.integers(0, 127), st.binary(max_size=40))
def test_random_extensions_give_a_value_or_a_payload_error(code: int, data: bytes) -> None:
    read_hostile(extension(code, data))
    read_hostile(b"\x81" + extension(code, data) + b"\x01")


@settings(deadline=None, max_examples=150)
@given(values, st.data())
def test_a_damaged_payload_gives_a_value_or_a_payload_error(value: object, data: st.DataObject) -> None:
    payload = bytearray(encode(value))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(payload) - 1))
        payload[place] = data.draw(st.integers(0, 255))
    read_hostile(bytes(payload[: data.draw(st.integers(0, len(payload)))]))
    read_hostile(bytes(payload))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from(["list", "map", "key", "tuple", "set", "frozenset"]), max_size=260))
def test_deep_hostile_nesting_is_refused_and_shallow_is_not_lost(kinds: list[str]) -> None:
    data = b"\x90"
    for kind in kinds:
        match kind:
            case "list":
                data = b"\x91" + data
            case "map":
                data = b"\x81\x01" + data
            case "key":
                data = b"\x81" + data + b"\x01"
            case _:
                code = {"set": 7, "frozenset": 8, "tuple": 9}[kind]
                data = extension(code, b"\x91" + data)
    outcome = read_hostile(data)
    if len(kinds) >= NESTING_MAX:
        assert isinstance(outcome, PayloadError)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x01\x01",
        b"\x91",
        b"\x91" * 1_000_000,
        b"\x91" * 1000 + b"\x90",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff\x01",
        b"\xc6\xff\xff\xff\xff",
        b"\xd9\x01\xff",
        b"\x81\x90\x01",
        b"\x81" + extension(7, b"\x90") + b"\x01",
        extension(7, b"\x91\x90"),
        extension(9, b"\x01"),
        extension(9, b"\x90\x90"),
        extension(9, b""),
        extension(99, b""),
        extension(5, b"__import__('os')"),
        extension(5, "٣".encode()),
        extension(1, b"\x00" * 22),
        extension(4, b"\x7f" + b"\xff" * 11),
        extension(6, b"short"),
        b"\xd7\xff" + b"\xff" * 8,
    ],
    ids=lambda data: data[:8].hex() + f"-{len(data)}",
)
def test_bytes_that_are_no_payload_are_refused(data: bytes) -> None:
    with pytest.raises(PayloadError, match=r"args\[1\]: not a payload \(.+\); it was damaged"):
        decode(data, path="args[1]")


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process from /proc")
def test_headers_that_announce_gigabytes_take_no_memory() -> None:
    # One array inside the other, each announcing a million items: 8 MB each, if it were believed.
    program = (
        "import resource;"
        "from continuum.model.payload import decode;"
        "bomb = bytes.fromhex('dd000f0000') * 900 + bytes([192]) * 1_000_000;"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "for data in (bomb, bytes.fromhex('c900100000') + bytes([9]) + bomb[:1 << 20]):\n"
        "  try: decode(data)\n"
        "  except Exception as error: print(type(error).__name__, 'Memory' in str(error))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["PayloadError", "False"] * 2


def test_deep_extensions_fit_on_a_small_stack() -> None:
    data = b"\x90"
    for _ in range(NESTING_MAX):
        data = extension(9, b"\x91" + data)
    outcomes: list[object] = []
    before = threading.stack_size(512 * 1024)
    try:
        thread = threading.Thread(target=lambda: outcomes.append(read_hostile(data)))
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    assert isinstance(outcomes[0], PayloadError)


def test_a_timestamp_of_another_writer_is_read_as_a_moment() -> None:
    assert decode(msgpack.packb(msgpack.Timestamp(1, 2000))) == datetime(1970, 1, 1, 0, 0, 1, 2, UTC)
