"""Laws of the supervision tree: random trees, and exits, starts, stops and time in any order."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from continuum.supervisor.directives import Directive, Escalate, Exit, Kill, Start, Stop, Terminate
from continuum.supervisor.spec import ChildSpec, RestartType, Strategy, SupervisorSpec
from continuum.supervisor.strategy import SupervisorTree

EXITS = (Exit("crash", "crashed"), Exit("normal", "ended"), Exit("fatal", "cannot work"))


@dataclass
class World:
    """Stands in for the processes: carries directives out and checks each against what is alive."""

    spec: SupervisorSpec
    now: float = 0.0
    alive: dict[str, str] = field(default_factory=dict)  # child id -> starting, up, stopping
    starts: list[tuple[float, str]] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)  # children that have once become ready, or exited
    killed: set[str] = field(default_factory=set)
    escalated: list[str] = field(default_factory=list)
    stop_asked: bool = False
    killed_all: bool = False
    terminated: Terminate | None = None

    def __post_init__(self) -> None:
        self.tree = SupervisorTree(self.spec)
        self.parents = {
            leaf.id: branch
            for branch in self.spec.walk()
            if isinstance(branch, SupervisorSpec)
            for leaf in branch.children
            if isinstance(leaf, ChildSpec)
        }
        self.carry_out(self.tree.start(self.now))

    def carry_out(self, directives: list[Directive]) -> None:
        for directive in directives:
            assert self.terminated is None, "Terminate is the last directive"
            match directive:
                case Start(name):
                    self._on_start(name)
                case Stop(name, _):
                    assert self.alive[name] == "up", "only what is ready can drain"
                    self._check_nothing_right_of(name)
                    self.alive[name] = "stopping"
                case Kill(name, _):
                    assert name in self.alive
                    assert name not in self.killed, "nothing is killed twice"
                    self.killed.add(name)
                    self.alive[name] = "stopping"
                case Escalate(name, _):
                    self.escalated.append(name)
                case Terminate():
                    assert not self.alive, "everything is down at the end"
                    self.terminated = directive

    def _on_start(self, name: str) -> None:
        assert name not in self.alive, "nothing is started twice"
        assert not self.stop_asked, "nothing is started in a tree that ends"
        branch = self.parents[name]
        leaves = [c.id for c in branch.children if isinstance(c, ChildSpec)]
        for left in leaves[: leaves.index(name)]:
            if branch.strategy != "one_for_one":
                assert self.alive.get(left) == "up" or left in self.ended, "those before it are up"
        for right in leaves[leaves.index(name) + 1 :]:
            if branch.strategy != "one_for_one":
                assert right not in self.alive, "those after it are down"
        self.alive[name] = "starting"
        self.starts.append((self.now, name))
        self.ended.discard(name)

    def _check_nothing_right_of(self, name: str) -> None:
        branch = self.parents[name]
        leaves = [c.id for c in branch.children if isinstance(c, ChildSpec)]
        if not branch.together and not self.killed_all:
            assert not [right for right in leaves[leaves.index(name) + 1 :] if right in self.alive]

    def ready(self, name: str) -> None:
        self.alive[name] = "up" if self.alive[name] == "starting" else self.alive[name]
        self.carry_out(self.tree.on_started(name, self.now))

    def exit(self, name: str, exit: Exit) -> None:
        del self.alive[name]
        self.killed.discard(name)
        self.ended.add(name)
        self.carry_out(self.tree.on_exit(name, exit, self.now))

    def tick(self, seconds: float) -> None:
        self.now += seconds
        self.carry_out(self.tree.on_tick(self.now))

    def stop(self) -> None:
        self.stop_asked = True
        self.carry_out(self.tree.stop(self.now))

    def kill(self) -> None:
        self.stop_asked = self.killed_all = True
        self.carry_out(self.tree.kill(self.now))
        assert set(self.alive.values()) <= {"stopping"}

    def act(self, action: int, pick: int, seconds: float) -> None:
        names = sorted(self.alive)
        match action:
            case 0 | 1 | 2 if names:
                self.ready(names[pick % len(names)])
            case 3 | 4 if names:
                self.exit(names[pick % len(names)], EXITS[pick % len(EXITS)])
            case 5:
                self.tick(seconds)

    def finish(self) -> None:
        """Stop, and let every child that was asked to stop or killed exit, one at a time."""
        self.stop()
        for _ in range(4 * len(self.spec.leaves()) + 4):
            if self.terminated is not None:
                return
            stopping = [name for name, state in self.alive.items() if state == "stopping"]
            assert stopping, "a tree that ends always waits for something it has asked to stop"
            self.exit(stopping[0], EXITS[0])
        raise AssertionError("the tree does not end")


def _leaf(restart: RestartType, shutdown_s: float) -> ChildSpec:
    return ChildSpec("x", "role", restart, shutdown_s)


def _branch(
    children: list[SupervisorSpec | ChildSpec], kind: tuple[Strategy, bool], n: int
) -> SupervisorSpec:
    strategy, together = kind
    return renamed(SupervisorSpec("x", renamed_all(children, "y"), strategy, n, 5.0, together), "y")


def renamed(spec: SupervisorSpec, path: str) -> SupervisorSpec:
    """``spec`` with ids that say where each node is, so that all differ."""
    children = renamed_all(spec.children, path)
    return SupervisorSpec(path, children, spec.strategy, spec.max_restarts, spec.max_seconds, spec.together)


def renamed_all(children: object, path: str) -> tuple[SupervisorSpec | ChildSpec, ...]:
    assert isinstance(children, list | tuple)
    return tuple(
        renamed(child, f"{path}.{index}")
        if isinstance(child, SupervisorSpec)
        else ChildSpec(f"{path}.{index}", child.role, child.restart, child.shutdown_s)
        for index, child in enumerate(children)
    )


kinds = st.sampled_from(
    [("one_for_one", False), ("one_for_one", True), ("one_for_all", False), ("rest_for_one", False)]
)
leaves = st.builds(
    _leaf, st.sampled_from(["permanent", "permanent", "transient", "temporary"]), st.sampled_from([0, 3.0])
)
inner = st.builds(_branch, st.lists(leaves, max_size=3), kinds, st.integers(0, 3))
trees = st.builds(_branch, st.lists(leaves | inner, min_size=1, max_size=4), kinds, st.integers(0, 4))
actions = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 11), st.sampled_from([0.0, 1.0, 2.5, 6.0])), max_size=60
)


@given(spec=trees, steps=actions)
def test_whatever_happens_the_order_holds_and_a_stop_ends_everything(
    spec: SupervisorSpec, steps: list[tuple[int, int, float]]
) -> None:
    world = World(spec)
    for step in steps:
        world.act(*step)
    if world.terminated is None:
        world.finish()
    assert world.terminated is not None
    assert world.tree.start(world.now) == world.tree.stop(world.now) == world.tree.kill(world.now) == []


@given(spec=trees, steps=actions)
def test_a_kill_reaches_everything_at_once_at_any_moment(
    spec: SupervisorSpec, steps: list[tuple[int, int, float]]
) -> None:
    world = World(spec)
    for step in steps:
        world.act(*step)
    world.kill()
    for name in list(world.alive):
        world.exit(name, EXITS[0])
    assert world.terminated is not None


@given(spec=trees, steps=actions)
def test_a_child_that_hangs_in_its_stop_never_hangs_the_tree(
    spec: SupervisorSpec, steps: list[tuple[int, int, float]]
) -> None:
    """Nobody obeys `Stop`; only what was killed exits."""
    world = World(spec)
    for step in steps:
        world.act(*step)
    asked_to_die: set[str] = set()
    carry_out = world.carry_out

    def record(directives: list[Directive]) -> None:
        asked_to_die.update(d.child_id for d in directives if isinstance(d, Kill))
        carry_out(directives)

    world.carry_out = record  # type: ignore[method-assign]
    if world.terminated is None:
        asked_to_die.update(name for name, state in world.alive.items() if state == "stopping")
        world.stop()
    for _ in range(4 * len(spec.leaves()) + 4):
        for name in [name for name in world.alive if name in asked_to_die]:
            world.exit(name, EXITS[0])
        world.tick(3.0)
    assert world.terminated is not None


@given(
    gaps=st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.5, 5.0, 7.0]), max_size=40),
    max_restarts=st.integers(0, 3),
    strategy=st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]),
)
def test_the_intensity_is_never_exceeded_without_escalation_nor_escalated_without_need(
    gaps: list[float], max_restarts: int, strategy: Strategy
) -> None:
    """The oracle is the definition: crashes of the last five seconds, counted anew each time."""
    children = tuple(ChildSpec(name, "role", shutdown_s=0) for name in "abc")
    world = World(SupervisorSpec("root", children, strategy, max_restarts, 5.0))
    crashes: list[float] = []
    for number, gap in enumerate(gaps):
        while "starting" in world.alive.values() or "stopping" in world.alive.values():
            for name, state in list(world.alive.items()):
                if state == "starting":
                    world.ready(name)
                elif state == "stopping":
                    world.exit(name, EXITS[0])
        world.tick(gap)
        crashes.append(world.now)
        world.exit("abc"[number % 3], EXITS[0])
        too_many = len([at for at in crashes if at >= world.now - 5.0]) > max_restarts
        assert world.escalated == (["root"] if too_many else [])
        if too_many:
            world.stop_asked = True
            break


@given(crashed=st.integers(0, 4), size=st.integers(1, 5))
def test_rest_for_one_restarts_exactly_the_crashed_child_and_the_later_ones(crashed: int, size: int) -> None:
    children = tuple(ChildSpec(f"c{index}", "role") for index in range(size))
    world = World(SupervisorSpec("root", children, "rest_for_one"))
    for spec in children:
        world.ready(spec.id)
    world.starts.clear()
    world.exit(f"c{crashed % size}", EXITS[0])
    while len([s for s in world.alive.values() if s == "up"]) < size:
        for name, state in list(world.alive.items()):
            if state == "stopping":
                world.exit(name, EXITS[1])
            elif state == "starting":
                world.ready(name)
    assert [name for _, name in world.starts] == [f"c{index}" for index in range(crashed % size, size)]
