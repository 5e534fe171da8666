"""Values to bytes and back: msgpack with the extension types of `extensions`.

    encode:  value ──msgpack (C); `plain` and the extensions for what it does not know──► bytes
    decode:  bytes ──msgpack (C); extensions──► plain values; `restore` makes typed ones of them

Invariants. What `encode` accepts, `decode` reads. Neither ever executes anything that a payload names.
`decode` of any bytes ends, with a value or a `PayloadError`, in memory proportional to their length and
in bounded stack. Both hold nesting to `NESTING_MAX`, counted in containers.

Why a value was refused is found by a second walk over it (`refusal`), so that good values pay nothing
for good messages.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain

import msgspec
from msgpack import ExtType, Packer, Unpacker, unpackb  # type: ignore[import-untyped]

from continuum.errors import PayloadError
from continuum.model.extensions import FROZENSET, MODEL, PACK, SET, TUPLE, UNPACK
from continuum.model.plain import CONTAINER_TYPES, plain
from continuum.model.pydantic_data import PydanticData, from_wire, to_wire, without_names
from continuum.model.refusal import NESTING_MAX, explain, too_large

LIMIT_BYTES = 1_048_576

SKIM_BYTES_MIN = 1024
BUFFER_BYTES_KEPT_MAX = 65_536
_MAPS_OF_MODEL = 2  # its fields, and its private attributes

# First bytes of maps, and of all containers. Text and numbers contain these bytes as well: their count is
# an upper bound, good to rule things out at the price of one pass in C.
_MAP_BYTES = bytes([*range(0x80, 0x90), 0xDE, 0xDF])
_CONTAINER_BYTES = _MAP_BYTES + bytes([*range(0x90, 0xA0), 0xDC, 0xDD, 0xC7, 0xC8, 0xC9, *range(0xD4, 0xD9)])

# Scalars are read by msgspec, in a quarter of the time: there both libraries agree.
_IS_SCALAR = bytes(
    first < 0x80 or 0xA0 <= first < 0xC1 or first in (0xC2, 0xC3) or 0xCA <= first <= 0xD3
    or 0xD9 <= first <= 0xDB or first >= 0xE0
    for first in range(256)
)  # fmt: skip
_scalar = msgspec.msgpack.Decoder().decode
_Scalar = int | float | str | bool | None
_scalar_arguments = msgspec.msgpack.Decoder(tuple[list[_Scalar], dict[str, _Scalar]]).decode
_SCALARS = frozenset({int, str, bool, float, type(None)})
_encode = msgspec.msgpack.Encoder().encode


def encode(value: object, *, limit_bytes: int = LIMIT_BYTES, path: str = "value") -> bytes:
    """The payload of ``value``, at most ``limit_bytes`` long.

    Equal values of equal types give equal bytes in every process, sets included; a dict keeps its order.

    Raises:
        PayloadError: something in the value cannot be a payload; names the place, beginning at ``path``.
    """
    if type(value) in _SCALARS and (scalar := _plainly(value, limit_bytes)) is not None:
        return scalar
    try:
        encoder = _FREE[0].pop()
    except IndexError:
        encoder = _Encoder(0)
    try:
        data: bytes = encoder.packer.pack(value)
        if len(data) > NESTING_MAX or encoder.frozen:
            _verify(data, encoder)
    except Exception as error:
        # The encoder is dropped: what its packer holds after an error is unknown.
        raise explain(value, error, path=path, limit_bytes=limit_bytes) from error
    if len(data) > limit_bytes:
        raise too_large(f"{len(data):,} bytes", limit_bytes, path)
    _give_back(encoder, len(data))
    return data


def encode_arguments(args: tuple[object, ...], kwargs: Mapping[str, object], path: str) -> bytes:
    """The payload of a call's arguments, ``[args, kwargs]``.

    Raises:
        PayloadError: an argument cannot be a payload.
    """
    if not kwargs and _SCALARS.issuperset(map(type, args)):
        data = _plainly((args, kwargs), LIMIT_BYTES)
        if data is not None:
            return data
    return encode([list(args), dict(kwargs)], path=path)


def _plainly(value: object, limit_bytes: int) -> bytes | None:
    """The payload of scalars; None for what the long way has to refuse, or to make an extension of."""
    try:
        data = _encode(value)
    except (OverflowError, UnicodeError):  # an integer beyond 64 bits, half of a surrogate pair
        return None
    return data if len(data) <= limit_bytes else None


def decode(data: bytes, path: str = "value") -> object:
    """The value of a payload, in plain types: records come as dicts, enum members as their values.

    Raises:
        PayloadError: the bytes are no payload; nothing in them was executed.
    """
    try:
        if data and _IS_SCALAR[data[0]]:
            return _scalar(data)
        if len(data) <= NESTING_MAX:
            return unpackb(data, ext_hook=_HOOKS[0], strict_map_key=False, timestamp=3)
        return _decode_large(data)
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise PayloadError(
            f"not a payload ({reason}); it was damaged, or written by something else", path=path
        ) from error


def decode_arguments(data: bytes) -> tuple[Sequence[object], Mapping[str, object]]:
    """The positional and the named arguments of a payload of `encode_arguments`.

    Raises:
        PayloadError: the bytes are no arguments.
    """
    try:
        return _scalar_arguments(data)
    except msgspec.MsgspecError:  # not only scalars
        decoded = decode(data, "args")
    if type(decoded) is list and len(decoded) == 2:
        positional, named = decoded
        if type(positional) is list and type(named) is dict:
            return positional, named
    raise PayloadError(f"not the arguments of a call but {type(decoded).__name__}", path="args")


def without_models(data: bytes) -> bytes:
    """The payload that older versions made of the same value: models were dicts of their fields.

    Raises:
        PayloadError: the bytes are no payload.
    """
    return encode(without_names(decode(data)))


def scalar_of(data: bytes) -> bool | int | float | str | bytes | None:
    """The value of a payload that is a number, text, truth value or None; any other payload, bytes too, as it is."""
    if data and _IS_SCALAR[data[0]] and len(data) <= LIMIT_BYTES:
        value: bool | int | float | str | None = _scalar(data)
        return value
    return data


class _Encoder:
    """A packer for one depth of nested extensions, and what it saw while it packed.

    msgpack cannot pack inside its own call-back with the same packer, and a new one costs more than
    packing a small value: so they are kept, by depth, and are out of the list while in use.
    """

    __slots__ = ("_depth", "frozen", "packer", "records")

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self.packer = Packer(strict_types=True, default=self._replace, buf_size=1024)
        self.records = 0  # maps that were no dict
        self.frozen = False  # something hashable became something that is not

    def _replace(self, value: object) -> object:
        """msgpack's call-back for a value it does not know: what to pack in its place."""
        simple = plain(value)
        kind = type(simple)
        if kind is dict or kind is list:
            if not isinstance(value, dict | list):
                self.records += kind is dict
                self.frozen |= type(value).__hash__ is not None
            return simple
        if isinstance(simple, PydanticData):
            self.records += _MAPS_OF_MODEL
            self.frozen |= type(value).__hash__ is not None
            return ExtType(MODEL, self._inside(to_wire(simple), _Encoder.array))
        if isinstance(simple, tuple):
            return ExtType(TUPLE, self._inside(list(simple), _Encoder.array))
        if isinstance(simple, set | frozenset):
            code = SET if kind is set else FROZENSET
            return ExtType(code, self._inside(simple, _Encoder.members))
        # An IntEnum's value is an int like any other; an int that msgpack can hold needs no extension.
        if kind not in PACK or (isinstance(simple, int) and -(1 << 63) <= simple < 1 << 64):
            return simple
        code, pack = PACK[kind]
        return ExtType(code, pack(simple))

    def array(self, values: Collection[object]) -> bytes:
        data: bytes = self.packer.pack(values)
        return data

    def members(self, values: Collection[object]) -> bytes:
        """The members of a set, in the order of their bytes: hash order differs from process to process."""
        packed = sorted(self.packer.pack(value) for value in values)
        if self.frozen or len(set(packed)) < len(packed):
            raise ValueError("a set would lose a member")
        return b"\xdd" + len(packed).to_bytes(4, "big") + b"".join(packed)

    def _inside(
        self, parts: Collection[object], pack: Callable[[_Encoder, Collection[object]], bytes]
    ) -> bytes:
        depth = self._depth + 1
        if depth > NESTING_MAX:
            raise ValueError("nested too deeply")
        try:
            inner = _FREE[depth].pop()
        except IndexError:
            inner = _Encoder(depth)
        data = pack(inner, parts)
        self.records += inner.records
        self.frozen |= inner.frozen
        _give_back(inner, len(data))
        return data


_FREE: list[list[_Encoder]] = [[] for _ in range(NESTING_MAX + 1)]


def _give_back(encoder: _Encoder, size_bytes: int) -> None:
    if size_bytes <= BUFFER_BYTES_KEPT_MAX:
        encoder.records = 0
        encoder.frozen = False
        _FREE[encoder._depth].append(encoder)
    else:
        del encoder.packer  # it refers back to the encoder: a large buffer must not wait for a collector


def _count(data: bytes, first_bytes: bytes) -> int:
    return len(data) - len(data.translate(None, first_bytes))


def _verify(data: bytes, encoder: _Encoder) -> None:
    """Read back what might not be readable: a frozen record as a dict key, and deep nesting.

    Raises:
        Exception: it is not; `explain` finds the place.
    """
    if _count(data, _CONTAINER_BYTES) > NESTING_MAX:
        _check_nesting(_unpack(data, 0))
    elif encoder.frozen and _count(data, _MAP_BYTES) > encoder.records:
        # Only where there are dicts beside the records are there keys.
        _unpack(data, 0)


def _decode_large(data: bytes) -> object:
    value = _unpack(data, 0)
    if _count(data, _CONTAINER_BYTES) > NESTING_MAX:
        _check_nesting(value)
    return value


def _unpack(data: bytes, depth: int) -> object:
    """Read one msgpack value with its extensions at this depth.

    msgpack allocates an array of the announced length before it has seen a part of it, so a few nested
    headers could ask for gigabytes. Skipping over the value first allocates nothing and fails unless
    every announced part is there. `unpackb` also keeps 40 KB on the C stack, too much for a hundred
    levels on a small thread: hence the reader on the heap.
    """
    if len(data) > SKIM_BYTES_MIN:
        skimmer = Unpacker(max_buffer_size=len(data), strict_map_key=False)
        skimmer.feed(data)
        skimmer.skip()
    if depth == 0:
        return unpackb(data, ext_hook=_HOOKS[0], strict_map_key=False, timestamp=3)
    reader = Unpacker(
        max_buffer_size=max(len(data), 1), ext_hook=_HOOKS[depth], strict_map_key=False, timestamp=3
    )
    reader.feed(data)
    value: object = reader.unpack()
    if reader.tell() != len(data):
        raise ValueError("bytes after the end of an extension")
    return value


def _extension_reader(depth: int) -> Callable[[int, bytes], object]:
    def read(code: int, data: bytes) -> object:
        if code in UNPACK:
            return UNPACK[code](data)
        build = _CONTAINERS.get(code)
        if build is None:
            raise ValueError(f"unknown extension type {code}")
        if depth == NESTING_MAX:
            raise ValueError(f"nested deeper than {NESTING_MAX} levels")
        parts = _unpack(data, depth + 1)
        if type(parts) is not list:
            raise ValueError(f"extension type {code} holds no array")
        return build(parts)

    return read


_CONTAINERS: dict[int, Callable[[list[object]], object]] = {
    SET: set,
    FROZENSET: frozenset,
    TUPLE: tuple,
    MODEL: from_wire,
}
_HOOKS = [_extension_reader(depth) for depth in range(NESTING_MAX + 1)]


def _check_nesting(value: object) -> None:
    level = [value]
    for _ in range(NESTING_MAX):
        level = [part for whole in level for part in _parts(whole) if type(part) in CONTAINER_TYPES]
        if not level:
            return
    raise ValueError(f"nested deeper than {NESTING_MAX} levels")


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, PydanticData):
        return value.parts()
    if isinstance(value, dict):
        return chain(value, value.values())
    return value if isinstance(value, list | tuple | set | frozenset) else ()
