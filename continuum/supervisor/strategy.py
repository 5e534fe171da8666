"""The supervision tree as a pure state machine: what happened -> directives for the shell.

Every node of the tree, process or supervisor, is in one state:

    DOWN -> STARTING -> UP -> STOPPING -> DOWN         ENDED: exited, and not to be restarted

An event changes one leaf; then `_settle` repeats one rule per supervisor until nothing moves:

    1. children that must go down (all of a stopping supervisor, the doomed ones of a
       restart) are stopped right to left, each when the one right of it is down
    2. a stopping supervisor whose children are down is down, and its parent hears of it
    3. children that are down are started left to right, each when those left of it are up

Order, strategies, restart types and intensity are OTP's (`supervisor.erl`). Differences, on purpose:

- OTP's supervisor blocks while a child starts. This one does not: under one_for_one a crashed
  child restarts although a sibling is still starting, so one that hangs harms no other.
- A child that fails in its very first start counts as a restart like any other failed start
  (OTP's try_again_restart), where OTP's init would give up. What cannot get better says so: `fatal`.
- A child that is still starting owns nothing yet; to stop it is to kill it.
- Nothing is started below a supervisor that stops, or waits to be stopped.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import assert_never

from continuum.supervisor.directives import Directive, Escalate, Exit, Kill, Start, Stop, Terminate
from continuum.supervisor.intensity import RestartWindow
from continuum.supervisor.spec import ChildSpec, SupervisorSpec


class State(Enum):
    """Where a process, or a supervisor as a whole, is in its life."""

    DOWN = auto()
    STARTING = auto()
    UP = auto()
    STOPPING = auto()
    ENDED = auto()


class _Node:
    def __init__(self, parent: _Branch | None, index: int) -> None:
        self.parent = parent
        self.index = index
        self.state = State.DOWN

    @property
    def down(self) -> bool:
        return self.state in (State.DOWN, State.ENDED)

    @property
    def settled(self) -> bool:
        return self.state in (State.UP, State.ENDED)

    @property
    def closing(self) -> bool:
        """True when a supervisor above stops, or is about to restart what this node is part of."""
        node = self
        while node.parent is not None:
            if node.parent.state is State.STOPPING or node.index in node.parent.doomed:
                return True
            node = node.parent
        return False


class _Leaf(_Node):
    def __init__(self, spec: ChildSpec, parent: _Branch, index: int) -> None:
        super().__init__(parent, index)
        self.spec = spec
        self.kill_at: float | None = None
        self.killed = False


class _Branch(_Node):
    def __init__(self, spec: SupervisorSpec, parent: _Branch | None, index: int) -> None:
        super().__init__(parent, index)
        self.spec = spec
        self.children: list[_Leaf | _Branch] = []
        self.open()
        self.state = State.DOWN

    def open(self) -> None:
        """Begin a new life: no restart is remembered, every child is to be started."""
        self.state = State.STARTING
        self.window = RestartWindow(self.spec.max_restarts, self.spec.max_seconds)
        self.doomed: frozenset[int] = frozenset()  # children to take down before anything is started
        self.started_count = 0  # children that this life has started at least once
        self.failure: str | None = None
        for child in self.children:
            dormant = isinstance(child, _Leaf) and child.spec.on_demand
            child.state = State.ENDED if dormant else State.DOWN

    def falling(self) -> list[_Leaf | _Branch]:
        """Children that must go down and are not, right to left (OTP terminate_children/2)."""
        whole = self.state is State.STOPPING
        return [c for c in reversed(self.children) if not c.down and (whole or c.index in self.doomed)]

    def startable(self) -> _Leaf | _Branch | None:
        """The next child to start, left to right (OTP start_children/2)."""
        settled = True
        for child in self.children:
            restart = self.spec.strategy == "one_for_one" and child.index < self.started_count
            if child.state is State.DOWN and (settled or restart or self.spec.together):
                return child
            settled = settled and child.settled
        return None

    def rearm(self) -> None:
        """End a restart's stop phase: what it took down may start, but for temporary children."""
        for child in self.children:
            ended = child.index in self.doomed and child.state is State.ENDED
            if ended and isinstance(child, _Leaf) and child.spec.restart != "temporary":
                child.state = State.DOWN
        self.doomed = frozenset()


class SupervisorTree:
    """Decides what starts, stops and restarts. Each method returns the directives to carry out, in order.

    ``now`` is any clock that never goes back, in seconds. After `Terminate` every call returns nothing.
    """

    def __init__(self, spec: SupervisorSpec) -> None:
        self._leaves: dict[str, _Leaf] = {}
        self._branches: list[_Branch] = []  # a child always before its parent
        self._root = self._plant(spec, None, 0)
        self._outcome: Terminate | None = None  # why the tree ends, once it does
        self._ended = False
        self._directives: list[Directive] = []
        self._now = 0.0

    @property
    def deadline(self) -> float | None:
        """When `on_tick` is due: the next shutdown time-out; None without one."""
        return min((leaf.kill_at for leaf in self._leaves.values() if leaf.kill_at is not None), default=None)

    @property
    def ending(self) -> bool:
        """True once the tree stops, whatever for."""
        return self._outcome is not None

    def state(self, child_id: str) -> State:
        """State of one process."""
        return self._leaves[child_id].state

    def start(self, now: float) -> list[Directive]:
        """Start the tree; once, and not after `stop`."""
        if self._outcome is None:
            self._root.open()
        return self._settle(now)

    def demand(self, child_id: str, now: float) -> list[Directive]:
        """Start a child that is started on demand; no effect if it is there, or must not be started now."""
        leaf = self._leaves.get(child_id)
        if leaf is not None and leaf.spec.on_demand and leaf.state is State.ENDED and not leaf.closing:
            leaf.state = State.DOWN
        return self._settle(now)

    def on_started(self, child_id: str, now: float) -> list[Directive]:
        """A child has reported that it is ready. Too late, when it is being stopped already."""
        leaf = self._leaves[child_id]
        if leaf.state is State.STARTING:
            leaf.state = State.UP
        return self._settle(now)

    def on_exit(self, child_id: str, exit: Exit, now: float) -> list[Directive]:
        """A child has exited, asked or not (OTP restart_child/3, do_restart/3)."""
        leaf = self._leaves[child_id]
        assert not leaf.down, f"{child_id} exited twice"
        self._now = now
        was_starting = leaf.state is State.STARTING
        expected = leaf.state is State.STOPPING or leaf.closing
        leaf.state = State.ENDED if leaf.spec.restart == "temporary" else State.DOWN
        leaf.kill_at, leaf.killed = None, False
        if exit.kind == "fatal" and was_starting:
            self._end(Terminate(f"{child_id}: {exit.text}", exit.exit_code))
        elif not expected and leaf.spec.restart == "transient" and exit.kind == "normal":
            leaf.state = State.ENDED
        elif not expected and leaf.state is State.DOWN:
            self._restart(leaf, f"{child_id} {exit.text}")
        return self._settle(now)

    def on_tick(self, now: float) -> list[Directive]:
        """Kill what has not stopped in its time (OTP shutdown/1)."""
        self._now = now
        for leaf in self._leaves.values():
            if leaf.kill_at is not None and leaf.kill_at <= now:
                self._kill(leaf, f"still running {leaf.spec.shutdown_s:g} s after it was asked to stop")
        return self._settle(now)

    def stop(self, now: float, reason: str = "asked to stop") -> list[Directive]:
        """Stop everything in order, with the grace of each. No effect on a tree that ends already."""
        self._end(Terminate(reason, 0))
        return self._settle(now)

    def kill(self, now: float, reason: str = "asked to end at once") -> list[Directive]:
        """Kill everything now, without order. A failure that was already ending the tree stays its reason."""
        if self._ended:
            return []
        if self._outcome is None or self._outcome.exit_code == 0:
            self._outcome = Terminate(reason, 1)
            self._root.state = State.STOPPING
        for leaf in reversed(self._leaves.values()):
            if not leaf.down:
                self._kill(leaf, reason)
        return self._settle(now)

    def _plant(self, spec: SupervisorSpec, parent: _Branch | None, index: int) -> _Branch:
        branch = _Branch(spec, parent, index)
        for position, child in enumerate(spec.children):
            if isinstance(child, SupervisorSpec):
                branch.children.append(self._plant(child, branch, position))
            else:
                leaf = self._leaves[child.id] = _Leaf(child, branch, position)
                branch.children.append(leaf)
        self._branches.append(branch)
        return branch

    def _settle(self, now: float) -> list[Directive]:
        self._now = now
        while any(self._step(branch) for branch in self._branches):
            pass
        directives, self._directives = self._directives, []
        return directives

    def _step(self, branch: _Branch) -> bool:
        """Apply the rule of the module's head once; True when something changed."""
        if branch.state is State.DOWN:
            return False
        if falling := branch.falling():
            waiting_for = falling if branch.spec.together else falling[:1]
            return sum([self._take_down(child) for child in waiting_for]) > 0
        if branch.state is State.STOPPING:
            self._on_branch_down(branch)
            return True
        if branch.doomed:
            branch.rearm()
            return True
        if branch.closing:
            return False
        if (child := branch.startable()) is not None:
            self._bring_up(child)
            return True
        if branch.state is State.STARTING and all(child.settled for child in branch.children):
            branch.state = State.UP
            return True
        return False

    def _bring_up(self, child: _Leaf | _Branch) -> None:
        assert child.parent is not None, "the root is started by `start`"
        assert child.state is State.DOWN, "nothing is started twice"
        child.parent.started_count = max(child.parent.started_count, child.index + 1)
        if isinstance(child, _Branch):
            child.open()
        else:
            child.state = State.STARTING
            self._directives.append(Start(child.spec.id))

    def _take_down(self, child: _Leaf | _Branch) -> bool:
        if child.state is State.STOPPING:
            return False
        if isinstance(child, _Leaf):
            if child.state is State.STARTING or child.spec.shutdown_s == 0:
                self._kill(child, "stopped without grace")
            else:
                child.kill_at = self._now + child.spec.shutdown_s
                self._directives.append(Stop(child.spec.id, child.spec.shutdown_s))
        child.state = State.STOPPING
        return True

    def _kill(self, leaf: _Leaf, reason: str) -> None:
        if not leaf.killed:
            self._directives.append(Kill(leaf.spec.id, reason))
        leaf.state, leaf.killed, leaf.kill_at = State.STOPPING, True, None

    def _restart(self, child: _Leaf | _Branch, reason: str) -> None:
        """Count the restart and mark what it takes down first (OTP restart/2 and restart/3)."""
        branch = child.parent
        assert branch is not None
        if not branch.window.add(self._now):
            self._escalate(branch, reason)
            return
        match branch.spec.strategy:
            case "one_for_one":  # OTP restart(one_for_one, ...): the child alone
                pass
            case "one_for_all":  # OTP restart(one_for_all, ...): restart_multiple_children/3 on all
                branch.doomed = frozenset(range(len(branch.children)))
            case (
                "rest_for_one"
            ):  # OTP restart(rest_for_one, ...): split_child/2, the child and those after it
                branch.doomed = frozenset(range(child.index, len(branch.children)))
            case _:
                assert_never(branch.spec.strategy)

    def _escalate(self, branch: _Branch, reason: str) -> None:
        """Too many restarts: the supervisor ends, and is then an exited child of its parent."""
        limit = f"more than {branch.spec.max_restarts} restarts in {branch.spec.max_seconds:g} s"
        branch.failure = f"{branch.spec.id}: {limit}; last: {reason}"
        self._directives.append(Escalate(branch.spec.id, branch.failure))
        branch.state = State.STOPPING
        if branch is self._root:
            self._end(Terminate(branch.failure, 1))

    def _on_branch_down(self, branch: _Branch) -> None:
        branch.state = State.DOWN
        if branch is self._root:
            assert self._outcome is not None, "the root stops only with a reason"
            self._ended = True
            self._directives.append(self._outcome)
        elif not branch.closing:
            assert branch.failure is not None, "a supervisor stops by itself only when it gives up"
            self._restart(branch, branch.failure)

    def _end(self, outcome: Terminate) -> None:
        if self._outcome is None:
            self._outcome = outcome
            self._root.state = State.STOPPING
