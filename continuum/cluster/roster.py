"""Who is in the group, as this node sees it: claims go in, changes and rumors come out.

    unknown ──alive──► ALIVE ◄──larger incarnation── SUSPECT ──deadline──► DEAD
                         └──accusation──►───────────────┘        LEFT: said by itself

A claim about a name or a life that is not known yet is believed only if it says that it lives: death rumors of
strangers would come back for ever after they were forgotten. A death that a full exchange reports (not a rumor, so
nobody knows how old it is) is no verdict here; it makes this node look for itself and tell the accused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random

from continuum.cluster.awareness import Awareness
from continuum.cluster.directives import (
    Changed,
    Died,
    Directive,
    Joined,
    Left,
    NameTaken,
    Recovered,
    Refuted,
    Suspected,
)
from continuum.cluster.messages import COUNT_MAX, Claim, Status, encoded_bytes
from continuum.cluster.peers import Pool, Round
from continuum.cluster.rumors import Rumors
from continuum.cluster.state import Member, admit, claim_of, life_of, merge
from continuum.cluster.suspicion import Suspicion
from continuum.cluster.timing import Timing

MEMBERS_MAX = 10_000


class Roster:
    """The members, the suspicions, and what is still to be told. ``out`` collects what the node should know."""

    def __init__(self, me: Member, timing: Timing, random: Random, awareness: Awareness) -> None:
        self._name = me.name
        self._timing, self._random, self._awareness = timing, random, awareness
        self._suspicions: dict[str, Suspicion] = {}
        self._taken_epoch = me.epoch
        self.members: dict[str, Member] = {me.name: me}
        self.here, self.dead = Pool(), Pool()  # of the others
        self.round = Round(self.here, random)
        self.rumors, self.news = Rumors(), Rumors()  # of life and death; of entries, which can wait
        self.urgent: dict[str, None] = {}  # to be probed out of turn
        self.stale: dict[str, str] = {}  # whose entries are newer than ours -> address of who said so
        self.suspicion_at = math.inf  # no later than the first deadline
        self.out: list[Directive] = []
        self.ignored = 0  # claims that cannot be

    @property
    def me(self) -> Member:
        return self.members[self._name]

    @property
    def size(self) -> int:
        """Of the group, this node included."""
        return len(self.here) + 1

    @property
    def has_news(self) -> bool:
        """Is there something to do in the next round of gossip?"""
        return bool(self.rumors.names or self.news.names or self.urgent or self.stale)

    def helpers(self, count: int, without: str) -> list[Member]:
        """Return some members that are alive, as far as is known."""
        names = self.here.sample(self._random, 2 * count, (without,))
        alive = (self.members[name] for name in names)
        return [member for member in alive if member.status == Status.ALIVE][:count]

    def learn(
        self, now: float, claim: Claim, teller: str, *, synced: bool = False, quiet: bool = False
    ) -> None:
        """Take in one claim, from the node at address ``teller``; ``quiet``: it is no news to the others."""
        if claim.name == self._name:
            self._learn_of_me(now, claim)
            return
        held = self.members.get(claim.name)
        if held is None or claim.epoch > held.epoch:
            if self._is_admissible(claim, held):
                self._change(now, held, admit(claim, now), claim.by, quiet)
                self._note_stale(claim, teller)
        elif claim.epoch == held.epoch and not _is_known(held, claim):
            self._learn_more(now, claim, held, teller, synced=synced, quiet=quiet)

    def suspect(self, now: float, name: str, epoch: int) -> None:
        """This node's own probe of that life has failed."""
        held = self.members.get(name)
        if held is not None and held.is_here and held.epoch == epoch:
            self.learn(now, Claim(name, Status.SUSPECT, epoch, held.incarnation, self._name), "")

    def expire(self, now: float) -> None:
        """Give the verdicts that are due."""
        if now < self.suspicion_at:
            return
        for name, suspicion in list(self._suspicions.items()):
            if suspicion.deadline > now:
                continue
            if suspicion.is_thin and not suspicion.looked:
                suspicion.look_once_more(now + self._timing.look_s * self._awareness.factor)
                self.urgent[name] = None
                continue
            held = self.members[name]
            verdict = Claim(name, Status.DEAD, held.epoch, held.incarnation, self._name)
            self._change(now, held, merge(held, verdict, now), self._name, quiet=False)
        self._set_suspicion_at()

    def prolong(self, seconds: float) -> None:
        """This node was away for so long: nobody could have refuted to it."""
        for suspicion in self._suspicions.values():
            suspicion.prolong(seconds)
        self._set_suspicion_at()

    def publish(self, now: float, entries: Mapping[str, bytes]) -> None:
        """Replace this node's own entries."""
        if dict(entries) != self.me.entries:
            self._publish(now, dict(entries), self.me.sequence + 1)

    def leave(self, now: float) -> None:
        me = self.me
        self.rumors.add(life_of(self._set_me(now, me.incarnation, Status.LEFT)))
        self._suspicions.clear()
        self._set_suspicion_at()

    def note_rtt(self, name: str, seconds: float) -> None:
        held = self.members.get(name)
        if held is not None:
            rtt_s = seconds if held.rtt_s is None else 0.8 * held.rtt_s + 0.2 * seconds
            self.members[name] = Member(
                held.name,
                held.address,
                held.epoch,
                held.incarnation,
                held.status,
                held.sequence,
                held.entries,
                rtt_s,
                held.since,
            )

    def accusers(self) -> dict[str, str]:
        """Return who suspected each suspect first."""
        return {name: suspicion.first for name, suspicion in self._suspicions.items()}

    def accusation(self, name: str, epoch: int) -> Claim | None:
        """Return what that life of a member must hear, because it is to refute it or to give way."""
        held = self.members.get(name)
        if held is None or held.epoch < epoch or (held.epoch == epoch and held.status == Status.ALIVE):
            return None
        return life_of(held, self._name)

    def forget_old(self, now: float) -> None:
        """Forget who has been dead or gone for long."""
        kept_s = {Status.DEAD: self._timing.forget_dead_s, Status.LEFT: self._timing.forget_left_s}
        for member in list(self.members.values()):
            if (
                not member.is_here
                and member.name != self._name
                and now - member.since >= kept_s[member.status]
            ):
                self.forget(member.name)

    def forget(self, name: str) -> None:
        """Know nothing of a member any more."""
        del self.members[name]
        self.here.discard(name)
        self.dead.discard(name)
        self.rumors.discard(name)
        self.news.discard(name)
        self._suspicions.pop(name, None)
        self.stale.pop(name, None)

    def _learn_more(
        self, now: float, claim: Claim, held: Member, teller: str, *, synced: bool, quiet: bool
    ) -> None:
        if claim.status == Status.SUSPECT and claim.by not in self.members:
            self.ignored += 1
        elif claim.status == Status.DEAD and synced and held.is_here:
            if claim.incarnation >= held.incarnation:
                self.urgent[claim.name] = None
        else:
            new = merge(held, claim, now)
            if new is not held:
                self._change(now, held, new, claim.by, quiet)
            elif claim.status == Status.SUSPECT == held.status and claim.incarnation == held.incarnation:
                self._confirm(claim)
            self._note_stale(claim, teller)

    def _note_stale(self, claim: Claim, teller: str) -> None:
        if claim.entries is None and claim.sequence > self.members[claim.name].sequence:
            self.stale[claim.name] = teller

    def _learn_of_me(self, now: float, claim: Claim) -> None:
        me = self.me
        if claim.epoch > self._taken_epoch:
            self._taken_epoch = claim.epoch
            self.out.append(NameTaken(claim.address, claim.epoch))
        if claim.epoch != me.epoch or me.status == Status.LEFT:
            return
        if (claim.incarnation, claim.status) > (me.incarnation, Status.ALIVE):
            if claim.incarnation >= COUNT_MAX:  # no honest node gets there; only a new epoch can outrank it
                self.out.append(NameTaken(me.address, me.epoch))
                return
            self.rumors.add(life_of(self._set_me(now, claim.incarnation + 1, Status.ALIVE)))
            self._awareness.on_accused()
            self.out.append(Refuted())
        is_forged = claim.sequence == me.sequence and claim.entries not in (None, me.entries)
        if (claim.sequence > me.sequence or is_forged) and claim.sequence < COUNT_MAX:
            self._publish(now, dict(me.entries), claim.sequence + 1)

    def _is_admissible(self, claim: Claim, held: Member | None) -> bool:
        if not claim.address or claim.status > Status.SUSPECT:
            return False
        if claim.status == Status.SUSPECT and claim.by not in self.members:
            return False
        if held is None and len(self.members) >= MEMBERS_MAX:
            victims = self.dead.sample(self._random, 1)
            if not victims:
                self.ignored += 1
                return False
            self.forget(victims[0])
        return True

    def _change(self, now: float, old: Member | None, new: Member, by: str, quiet: bool) -> None:
        name = new.name
        self.members[name] = new
        self._place(new)
        if old is None or (old.epoch, old.incarnation, old.status) != (
            new.epoch,
            new.incarnation,
            new.status,
        ):
            self._set_suspicion(now, new, by)
            if not quiet:
                self.rumors.add(life_of(new, by))
        if old is None or (old.epoch, old.sequence) != (new.epoch, new.sequence):
            self.stale.pop(name, None)
            if not quiet and new.sequence:
                self.news.add(self._entries_claim(new))
        self._report(old, new)

    def _report(self, old: Member | None, new: Member) -> None:
        out, name = self.out, new.name
        if old is not None and old.is_here and new.epoch > old.epoch:
            out.append(Died(name, old.epoch))
        was_here = old is not None and old.is_here and new.epoch == old.epoch
        before = old.status if old is not None and was_here else None
        if new.is_here and before is None:
            out.append(Joined(new))
        elif before is not None and old is not None and new.sequence != old.sequence:
            out.append(Changed(new))
        match new.status:
            case Status.SUSPECT if before != Status.SUSPECT:
                out.append(Suspected(name))
            case Status.ALIVE if before == Status.SUSPECT:
                out.append(Recovered(name))
            case Status.DEAD if before is not None:
                out.append(Died(name, new.epoch))
            case Status.LEFT if before is not None:
                out.append(Left(name, new.epoch))
            case _:
                pass

    def _place(self, new: Member) -> None:
        name = new.name
        if new.is_here:
            self.dead.discard(name)
            if self.here.add(name):
                self.round.add(name)
            return
        self.here.discard(name)
        self.news.discard(name)
        if new.status == Status.DEAD:
            self.dead.add(name)
        else:
            self.dead.discard(name)

    def _set_suspicion(self, now: float, new: Member, by: str) -> None:
        if new.status != Status.SUSPECT:
            self._suspicions.pop(new.name, None)
            return
        size, timing = self.size, self._timing
        suspicion = self._suspicions[new.name] = Suspicion(
            by,
            now,
            wanted=max(min(timing.confirmations, size - 2), 0),
            min_s=timing.suspicion_min_s(size),
            max_s=timing.suspicion_max_s(size),
        )
        self.suspicion_at = min(self.suspicion_at, suspicion.deadline)
        if by != self._name and self._random.random() * len(self.here) < timing.confirmers:
            self.urgent[new.name] = None

    def _confirm(self, claim: Claim) -> None:
        suspicion = self._suspicions.get(claim.name)
        if suspicion is not None and suspicion.confirm(claim.by):
            self.suspicion_at = min(self.suspicion_at, suspicion.deadline)
            self.rumors.add(claim)

    def _set_suspicion_at(self) -> None:
        self.suspicion_at = min((item.deadline for item in self._suspicions.values()), default=math.inf)

    def _publish(self, now: float, entries: dict[str, bytes], sequence: int) -> None:
        me = self.me
        self.members[self._name] = Member(
            me.name, me.address, me.epoch, me.incarnation, me.status, sequence, entries, None, me.since
        )
        self.news.add(self._entries_claim(self.me))

    def _set_me(self, now: float, incarnation: int, status: Status) -> Member:
        me = self.me
        since = me.since if status == me.status else now
        new = Member(me.name, me.address, me.epoch, incarnation, status, me.sequence, me.entries, None, since)
        self.members[self._name] = new
        return new

    def _entries_claim(self, member: Member) -> Claim:
        """The rumor of its entries: with them while they are small, else their sequence, and who hears it pulls."""
        whole = claim_of(member)
        small = encoded_bytes(whole) <= self._timing.datagram_bytes // 2
        return Claim(
            member.name,
            Status.ALIVE,
            member.epoch,
            member.incarnation,
            "",
            member.address,
            member.sequence,
            whole.entries if small else None,
        )


def _is_known(held: Member, claim: Claim) -> bool:
    """Nearly all claims of a full exchange say nothing new; a repeated suspicion may confirm one."""
    return (
        claim.sequence <= held.sequence
        and claim.status != Status.SUSPECT
        and (claim.incarnation, claim.status) <= (held.incarnation, held.status)
    )
