"""Posting: an engine's work goes by posters where it can, and by lanes where it cannot; each ends once."""

from __future__ import annotations

import os
import select
from collections.abc import Callable

import pytest

from continuum.errors import JournalError
from continuum.ports.offload import CommitWork, Completion, Lane, MailWork, Work
from continuum.runtime.posting import PostingOffload
from continuum.runtime.wake import Wake

LIMIT_S = 10.0
COMMIT, MAIL = CommitWork(()), MailWork(())
LOST = JournalError("commit", "the connection is lost")


class Poster:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.opened = 0
        self.posted: list[Work] = []
        self.answer: tuple[object] | None = None
        self.error: JournalError | None = None
        self.left = 0  # times that the socket is full
        self._pipe: tuple[int, int] | None = None

    def open(self) -> None:
        self.opened += 1
        self._pipe = os.pipe()

    def fileno(self) -> int | None:
        return self._pipe[0] if self._pipe else None

    def post(self, work: Work) -> bool:
        self._fail()
        if work is MAIL:
            return False
        self.posted.append(work)
        return True

    def unsent(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def take(self) -> tuple[object] | None:
        self._fail()
        answer, self.answer = self.answer, None
        return answer

    def close(self) -> None:
        if self._pipe:
            os.close(self._pipe[0])
            os.close(self._pipe[1])
            self._pipe = None

    def _fail(self) -> None:
        if self.error is not None:
            error, self.error = self.error, None
            self.close()
            raise error


class Lanes:
    def __init__(self) -> None:
        self.given: list[Work] = []
        self.closed = False

    def submit(self, lane: Lane, ticket: int, work: Work) -> None:
        self.given.append(work)

    def drain(self) -> list[Completion]:
        return []

    def close(self) -> None:
        self.closed = True


class Loop:
    """Remembers what is watched; ``turn`` finds a descriptor ready."""

    def __init__(self) -> None:
        self.watched: dict[int, tuple[Callable[[], None], bool]] = {}

    def watch(self, descriptor: int, on_ready: Callable[[], None], *, writing: bool = False) -> None:
        self.watched[descriptor] = on_ready, writing

    def unwatch(self, descriptor: int) -> None:
        del self.watched[descriptor]

    def turn(self) -> None:
        for on_ready, _ in list(self.watched.values()):
            on_ready()

    @property
    def writing(self) -> list[bool]:
        return [writing for _, writing in self.watched.values()]


class Scene:
    def __init__(self, posters: int = 1) -> None:
        self.posters = [Poster() for _ in range(posters)]
        self.lanes, self.loop, self.wake = Lanes(), Loop(), Wake()
        self.offload = PostingOffload(self.lanes, self.posters, self.wake)
        self.done: list[Completion] = []
        self.offload.attach(self.loop, self.deliver)
        for count in range(1, posters + 1):
            self.opened(count)

    def deliver(self) -> None:
        self.done += self.offload.drain()

    def opened(self, count: int) -> None:
        """Wait until so many posters are watched: a thread opens them."""
        while len(self.loop.watched) < count:
            assert select.select([self.wake], [], [], LIMIT_S)[0], "nobody opens the poster"
            self.wake.clear()
            self.deliver()


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_work_is_posted_and_its_answer_completes_it(scene: Scene) -> None:
    (poster,) = scene.posters
    scene.offload.submit(Lane.COMMIT, 1, COMMIT)
    scene.loop.turn()
    assert (poster.posted, scene.done) == ([COMMIT], [])
    poster.answer = ({"written"},)
    scene.loop.turn()
    scene.loop.turn()
    assert scene.done == [Completion(1, {"written"})]
    assert scene.lanes.given == []


def test_a_poster_has_one_work_at_a_time_and_the_lanes_have_the_rest(scene: Scene) -> None:
    for ticket in (1, 2):
        scene.offload.submit(Lane.COMMIT, ticket, COMMIT)
    assert scene.lanes.given == [COMMIT]
    scene.posters[0].answer = (None,)
    scene.loop.turn()
    scene.offload.submit(Lane.COMMIT, 3, COMMIT)
    assert len(scene.posters[0].posted) == 2
    assert len(scene.lanes.given) == 1


def test_two_posters_work_side_by_side() -> None:
    scene = Scene(posters=2)
    for ticket in (1, 2):
        scene.offload.submit(Lane.COMMIT, ticket, COMMIT)
    assert [len(poster.posted) for poster in scene.posters] == [1, 1]
    for poster in scene.posters:
        poster.answer = (None,)
    scene.loop.turn()
    assert sorted(completion.ticket for completion in scene.done) == [1, 2]


def test_what_cannot_be_posted_goes_to_the_lanes_and_keeps_no_poster(scene: Scene) -> None:
    scene.offload.submit(Lane.READ, 1, MAIL)
    scene.offload.submit(Lane.COMMIT, 2, COMMIT)
    assert scene.lanes.given == [MAIL]
    assert scene.posters[0].posted == [COMMIT]


def test_a_full_socket_is_watched_until_it_takes_the_rest(scene: Scene) -> None:
    (poster,) = scene.posters
    poster.left = 2
    scene.offload.submit(Lane.COMMIT, 1, COMMIT)
    assert scene.loop.writing == [True]
    scene.loop.turn()
    assert scene.loop.writing == [True]
    scene.loop.turn()
    assert scene.loop.writing == [False]


@pytest.mark.rule("R6")
def test_a_connection_that_is_lost_fails_its_work_and_is_opened_again(scene: Scene) -> None:
    (poster,) = scene.posters
    scene.offload.submit(Lane.COMMIT, 1, COMMIT)
    poster.error = LOST
    scene.loop.turn()
    assert scene.done == [Completion(1, error=LOST)]
    scene.opened(1)
    assert poster.opened == 2
    scene.offload.submit(Lane.COMMIT, 2, COMMIT)
    assert len(poster.posted) == 2


@pytest.mark.rule("R6")
def test_a_connection_that_is_lost_at_the_post_fails_the_work_too(scene: Scene) -> None:
    (poster,) = scene.posters
    poster.error = LOST
    scene.offload.submit(Lane.COMMIT, 1, COMMIT)
    scene.opened(1)
    assert scene.done == [Completion(1, error=LOST)]
    assert poster.opened == 2


def test_an_idle_connection_that_ends_is_opened_again(scene: Scene) -> None:
    scene.posters[0].error = LOST
    scene.loop.turn()
    scene.offload.submit(Lane.COMMIT, 1, COMMIT)
    assert scene.lanes.given == [COMMIT], "it takes nothing before it is open again"
    scene.opened(1)
    assert (scene.posters[0].opened, scene.done) == (2, [])
    for ticket in (2, 3):
        scene.offload.submit(Lane.COMMIT, ticket, COMMIT)
    assert len(scene.posters[0].posted) == 1, "one work at a time"


def test_closing_closes_lanes_and_posters(scene: Scene) -> None:
    scene.offload.close()
    assert scene.lanes.closed
    assert scene.posters[0].fileno() is None
