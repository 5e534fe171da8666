"""An engine's journal work without threads, where that can be: posted by its loop, which goes on meanwhile.

    submit ──► a poster is idle and knows this work? ──yes──► post ··· socket readable ··· take ──► completion
                       └──no──► the lanes, with their threads

What cannot be posted is rare (families, histories, leases) or comes while a connection is being opened. An idle engine
saves two switches of threads a commit, a busy one the fight of its committers for the interpreter.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Protocol

from continuum.errors import JournalError
from continuum.ports.offload import Completion, Lane, Offload, Poster, Work
from continuum.runtime.role import log
from continuum.runtime.wake import Wake

POSTERS = 3  # two groups of commits, and mail
_DELAY_S, _DELAY_S_MAX = 0.1, 2.0


class Lanes(Offload, Protocol):
    """The offload for the rest, such as :class:`continuum.runtime.lanes.ThreadOffload`."""

    def drain(self) -> list[Completion]: ...

    def close(self) -> None: ...


class Watching(Protocol):
    """The loop, as :class:`continuum.runtime.shell.Shell` has it."""

    def watch(self, descriptor: int, on_ready: Callable[[], None], *, writing: bool = False) -> None: ...

    def unwatch(self, descriptor: int) -> None: ...


class PostingOffload:
    """The ``Offload`` of an engine process. ``wake`` is set for new completions, which ``drain`` returns; ``attach``
    it to the loop first. It opens its posters itself, in a thread, and again when they break."""

    def __init__(self, lanes: Lanes, posters: Sequence[Poster], wake: Wake) -> None:
        self._lanes, self._wake = lanes, wake
        self._posters = posters
        self._idle: list[Poster] = []
        self._tickets: dict[Poster, int] = {}  # of those with work under way
        self._descriptors: dict[Poster, int] = {}
        self._completions: deque[Completion] = deque()
        self._opened: SimpleQueue[Poster] = SimpleQueue()
        self._ended = threading.Event()
        self._loop: Watching | None = None
        self._deliver: Callable[[], None] = wake.set

    def attach(self, loop: Watching, deliver: Callable[[], None]) -> None:
        """``deliver`` is called on the loop when there are completions, and takes them with ``drain``."""
        self._loop, self._deliver = loop, deliver
        for poster in self._posters:
            self._dial(poster)

    def submit(self, lane: Lane, ticket: int, work: Work) -> None:
        """Post ``work``, or give it to a lane."""
        if not self._idle:
            self._lanes.submit(lane, ticket, work)
            return
        poster = self._idle.pop()
        try:
            posted = poster.post(work)
            unsent = posted and poster.unsent()
        except JournalError as error:
            self._completions.append(Completion(ticket, error=error))
            self._settle(poster)
            self._wake.set()
            return
        if posted:
            self._tickets[poster] = ticket
            if unsent:
                self._watch(poster, writing=True)
        else:
            self._idle.append(poster)
            self._lanes.submit(lane, ticket, work)

    def drain(self) -> list[Completion]:
        """Return the completions since the last call; for the loop's thread."""
        while not self._opened.empty():
            poster = self._opened.get()
            self._watch(poster)
            self._idle.append(poster)
        completions = [*self._completions, *self._lanes.drain()]
        self._completions.clear()
        return completions

    def close(self) -> None:
        """Close the lanes, which finish what they have, and the posters, which do not."""
        self._ended.set()
        self._lanes.close()
        for poster in self._descriptors:
            poster.close()

    def _watch(self, poster: Poster, *, writing: bool = False) -> None:
        descriptor = poster.fileno()
        assert self._loop is not None and descriptor is not None, "attached, and open"
        self._descriptors[poster] = descriptor
        self._loop.watch(descriptor, lambda: self._ready(poster, writing), writing=writing)

    def _ready(self, poster: Poster, writing: bool) -> None:
        try:
            if writing and not poster.unsent():
                self._watch(poster)
            taken = poster.take()
        except JournalError as error:
            if poster in self._tickets:
                self._complete(Completion(self._tickets.pop(poster), error=error))
            self._settle(poster)
            return
        if taken is not None:
            ticket = self._tickets.pop(poster)
            self._idle.append(poster)
            self._complete(Completion(ticket, taken[0]))

    def _complete(self, completion: Completion) -> None:
        self._completions.append(completion)
        self._deliver()

    def _settle(self, poster: Poster) -> None:
        """After an error: the poster is as good as before, or has to be opened again."""
        if poster.fileno() is not None:
            self._idle.append(poster)
            return
        if poster in self._idle:
            self._idle.remove(poster)
        descriptor = self._descriptors.pop(poster, None)
        if descriptor is not None and self._loop is not None:
            self._loop.unwatch(descriptor)
        self._dial(poster)

    def _dial(self, poster: Poster) -> None:
        threading.Thread(target=self._open, args=(poster,), name="post", daemon=True).start()

    def _open(self, poster: Poster) -> None:
        delay_s = _DELAY_S
        while not self._ended.is_set():
            try:
                poster.open()
            except JournalError as error:
                log.debug("%s; the lanes do the work meanwhile", error)
                self._ended.wait(delay_s)
                delay_s = min(2 * delay_s, _DELAY_S_MAX)
            else:
                self._opened.put(poster)
                self._wake.set()
                return
