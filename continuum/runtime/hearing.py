"""What an engine hears from the database itself, so that no other process has to wake for it.

::

    notice "leased" ──► the run, if it is told, begins; else it is loaded      room, channel ──► Dispatch.hear
    notice "signal" ──► the signal, if it is told, is given to its run; else the run's mail is read

Runs come this way while the engine has little to do: one process has what they need, and is warm. When it is busy it
says so, and a dispatcher deals them out. What is not heard, because a connection broke, is found as everything that
gets lost: runs by the engine's look at its leases, signals by the router's scan (B6).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from continuum.ports.journal import ClaimedRun, Lease
from continuum.ports.mailbox import Notice
from continuum.ports.offload import Lane
from continuum.runtime.asking import Asking
from continuum.runtime.live import LiveRun
from continuum.runtime.loading import Loading
from continuum.runtime.outgoing import Outgoing
from continuum.runtime.ownership import Ownership
from continuum.runtime.reading import Reading

BUSY_MAX = 16  # runs that do not just wait; with more, the next ones go where there is less to do


class Hearing:
    """``take(run)`` begins a run that was leased to the engine, ``touch(run)`` is called for one of its ``runs`` that
    got a signal, ``broken(run, error)`` for one that raised; ``room()`` says how many more may change now.
    Nothing is heard before ``begin``."""

    def __init__(
        self,
        asking: Asking,
        ownership: Ownership,
        runs: Mapping[bytes, LiveRun],
        loading: Loading,
        reading: Reading,
        outgoing: Outgoing,
        take: Callable[[ClaimedRun], None],
        touch: Callable[[LiveRun], None],
        room: Callable[[], int],
        broken: Callable[[LiveRun, Exception], None],
    ) -> None:
        self._asking, self._ownership, self._runs = asking, ownership, runs
        self._loading, self._reading, self._outgoing = loading, reading, outgoing
        self._take, self._touch, self._changes, self._broken = take, touch, room, broken
        self._channel: str | None = None
        self._room = 0
        self._parked = 0  # runs, when that was counted last
        self._known: tuple[str | None, int] | None = (None, 0)  # to the database; None: that may be anything
        self._asked: tuple[str | None, int] | None = None
        self._missed = self._stopped = False

    def begin(self, channel: str) -> None:
        """From now on notices come on this channel. What was sent before, by a connection that broke, is looked for;
        the database may have forgotten what it was told last."""
        self._known = None
        if self._stopped:
            self._say(0)
            return
        self._channel = channel
        if self._missed:
            self._ownership.look()
            self._outgoing.look_for_mail()
        self._outgoing.announce_now()

    def interrupt(self) -> None:
        """Notices do not come any more."""
        self._channel, self._missed = None, True
        self._say(0)

    def stop(self) -> None:
        """The engine drains: what comes goes to others."""
        self._stopped = True
        self.interrupt()

    def notice(self, notices: Sequence[Notice]) -> None:
        for notice in notices:
            if notice.run_id is None:
                continue
            if notice.kind == "leased":
                if notice.claimed is not None:
                    self._take(notice.claimed)
                elif notice.run_id.bytes not in self._runs:
                    self._loading.want(Lease(notice.run_id, notice.token))
            elif notice.kind == "signal":
                self._signalled(notice, notice.run_id.bytes)
        if self._room and len(self._runs) - self._parked > BUSY_MAX:
            self._say(0)

    def look(self, parked: int, free: int) -> None:
        """Take stock: so many of the runs are parked, and so many more would fit. It is for every few seconds."""
        self._parked = parked
        busy = len(self._runs) - parked
        # A measure that changes seldom, and not to and fro with every run at a limit.
        self._say(free.bit_length() if busy <= (BUSY_MAX if self._room else BUSY_MAX // 2) else 0)

    def _signalled(self, notice: Notice, run_id: bytes) -> None:
        run = self._runs.get(run_id)
        signal = notice.signal
        if run is None or run.evicting or signal is None or self._changes() <= 0:  # of a crowd the rest waits
            self._reading.wake(run_id)
            return
        try:
            run.machine.signal(signal.id, signal.name, signal.payload, self._ownership.now_us())
            self._touch(run)
        except Exception as error:  # noqa: BLE001 - it is that run's
            self._broken(run, error)

    def _say(self, room: int) -> None:
        channel = self._channel if self._ownership.held else None  # behind a pooler nothing would arrive
        self._room = room if channel is not None else 0
        wanted = (channel, self._room)
        if self._asked is None and wanted != self._known:
            self._asked = wanted
            owner = self._ownership.owner
            self._asking.ask(Lane.LEASE, lambda desk: desk.dispatch.hear(owner, *wanted), self._said)

    def _said(self, _: object) -> None:
        assert self._asked is not None, "one question at a time"
        self._known, self._asked = self._asked, None
        self._say(self._room)
