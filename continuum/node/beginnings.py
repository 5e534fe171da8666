"""What the attempts of a node have begun, in files beside its run directory: they survive the node.

::

    <place of run directories>/.begun/<boot>/host          the host's life; locked for as long as the node lives
                                            <boot>-<n>     a worker: its slots, locked for as long as it lives

A slot is the key of an attempt, written into mapped memory: no system call, and the kernel keeps it whoever is killed.
A power failure is another matter, so what was written in another life of the host is not read. Locks are of the
process (POSIX): no fork of an activity keeps one. A folder is read by whoever takes the runs over, the node's next life
or another node of this host; a later start removes all but the last ones.

Where anything of this cannot be had (no space, another system) the node works on, and a death costs what may have
begun.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import shutil
import struct
from collections import deque
from collections.abc import Set
from contextlib import suppress
from pathlib import Path
from typing import Self

from continuum.runtime.role import log
from continuum.wire.messages import Key

FOLDER, HOST = ".begun", "host"
LIVES_MAX = 200
_SLOTS = 256  # at first
_HEAD_BYTES = 32  # the first byte: 1 while every beginning stands here
_SLOT = struct.Struct("16sqq")  # a key
_SLOT_BYTES = _SLOT.size
_pack = _SLOT.pack
_HOST_LIFE = Path("/proc/sys/kernel/random/boot_id")


class Life:
    """The folder of this life of a node; the supervisor keeps it until its end."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    @classmethod
    def begin(cls, place: Path, boot: str) -> Self:
        try:
            host_life = _HOST_LIFE.read_bytes()
            _remove_old(place / FOLDER)
            folder = place / FOLDER / boot
            folder.mkdir(mode=0o700, parents=True)
            descriptor = os.open(folder / HOST, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(descriptor, host_life)
        except OSError as error:
            log.warning("cannot note what begins (%s): after a death all that may have begun counts", error)
            return cls(None)
        return cls(descriptor)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)


class FileRegister:
    """The ``Register`` of one worker."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor  # its lock says that we live
        self._memory = mmap.mmap(descriptor, _bytes_of(_SLOTS))
        # Oldest first: a thread that is about to note may be late, and must not meet the slot's next attempt. Slot 0 is
        # for what finds none.
        self.free = deque(range(1, _SLOTS))
        self._slots = _SLOTS

    @classmethod
    def open(cls, place: Path, incarnation: str) -> FileRegister | None:
        """Return the register of a worker; None if there can be none, which is seen by whoever reads the folder."""
        host = place / FOLDER / incarnation.partition("-")[0] / HOST
        if not host.exists():
            return None
        try:
            descriptor = os.open(host.with_name(incarnation), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.posix_fallocate(
                descriptor, 0, _bytes_of(_SLOTS)
            )  # a map of a hole would kill us on a full disk
            register = cls(descriptor)
        except OSError as error:
            log.warning("cannot note what begins (%s): after a death all that may have begun counts", error)
            host.unlink()
            return None
        register._memory[0] = 1
        return register

    def note(self, slot: int, key: Key) -> None:
        run, seq, attempt = key
        at = _HEAD_BYTES + slot * _SLOT_BYTES
        self._memory[at : at + _SLOT_BYTES] = _pack(run, seq, attempt)

    def more(self) -> int:
        """Return slot 0, which nobody gives back, where there is no room for more."""
        slots = 2 * self._slots
        try:
            os.posix_fallocate(self._descriptor, 0, _bytes_of(slots))
            self._memory.resize(_bytes_of(slots))
        except (OSError, SystemError, ValueError) as error:
            if self._memory[0]:
                log.warning(
                    "cannot note all that begins (%s): after a death what may have begun counts", error
                )
            self._memory[0] = 0
            return 0
        self.free.extend(range(self._slots, slots))
        self._slots = slots
        return self.free.popleft()


class FileBeginnings:
    """The ``Beginnings`` that can be read from here. ``boot``: our own life."""

    def __init__(self, place: Path, boot: str) -> None:
        self._place, self._boot = place / FOLDER, boot
        self._known: dict[str, Set[Key]] = {}  # of what is over

    def begun(self, boot: str, incarnation: str | None = None) -> Set[Key] | None:
        try:
            if boot in self._known:
                return self._known[boot]
            folder = self._place / boot
            if (folder / HOST).read_bytes() != _HOST_LIFE.read_bytes():
                return None
            if boot == self._boot:
                return self._begun_here(folder, incarnation)
            if _is_locked(folder / HOST):
                return None
            names = [path.name for path in folder.iterdir() if path.name != HOST]
            if any(_is_locked(folder / name) for name in names):
                return None
            found = self._union(folder, names)
        except OSError:
            return None
        if found is not None:
            self._known[boot] = found
        return found

    def _begun_here(self, folder: Path, incarnation: str | None) -> Set[Key] | None:
        if incarnation is not None:
            return self._union(folder, [incarnation])
        names = [path.name for path in folder.iterdir() if path.name != HOST]
        return self._union(
            folder, [name for name in names if name in self._known or not _is_locked(folder / name)]
        )

    def _union(self, folder: Path, names: list[str]) -> Set[Key] | None:
        """Return what stands in the files of these workers, which are dead; None if some may be missing."""
        begun: set[Key] = set()
        for name in names:
            if name not in self._known:
                keys = _keys_in(folder / name)
                if keys is None:
                    return None
                self._known[name] = keys
            begun |= self._known[name]
        return begun


def _bytes_of(slots: int) -> int:
    return _HEAD_BYTES + slots * _SLOT_BYTES


def _keys_in(path: Path) -> set[Key] | None:
    """Return the attempts in a worker's file; None if some may be missing. One that died at its birth has none."""
    data = path.read_bytes()
    if not any(data):
        return set()
    if data[0] != 1:
        return None
    whole = (len(data) - _HEAD_BYTES) // _SLOT_BYTES
    slots = _SLOT.iter_unpack(data[_HEAD_BYTES : _HEAD_BYTES + whole * _SLOT_BYTES])
    return {slot for slot in slots if slot[2]}


def _is_locked(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # others may look in the same moment
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _remove_old(folder: Path) -> None:
    """Remove the lives that ended long ago, but for the last ones."""
    with suppress(FileNotFoundError):
        lives = sorted(folder.iterdir(), key=lambda life: life.stat().st_mtime)
        for life in lives[:-LIVES_MAX]:
            if not (life / HOST).exists() or not _is_locked(life / HOST):
                shutil.rmtree(life, ignore_errors=True)
