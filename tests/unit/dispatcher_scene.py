"""A dispatcher among engines and workers that only listen."""

from __future__ import annotations

from uuid import UUID

from continuum.model.ids import Owner
from continuum.ports.journal import Lease
from continuum.ports.mailbox import Notice
from continuum.runtime.dispatcher import Dispatcher
from continuum.wire.messages import Assign, EngineReady, Execute, Finished, Look, WorkerReady
from tests.unit.stage import INSTANCE, NODE, Extra, Stage

CLAIMER = str(Owner(NODE, INSTANCE, "dispatcher", "b-1"))


class Scene:
    def __init__(self) -> None:
        self.stage = Stage()
        self.store = self.stage.store
        self.dispatcher = self.put_on()

    def put_on(self, incarnation: str = "b-1") -> Dispatcher:
        ports = self.stage.ports("dispatcher", incarnation)
        role = Dispatcher(ports, self.store.dispatch, self.store.mailbox, ["default"])
        self.stage.play("dispatcher", role)
        return role

    def engine(self, name: str = "engine-1", free: int = 10, incarnation: str = "b-1") -> Extra:
        owner = self.stage.owner(name, incarnation)
        engine = self.stage.extra(name, incarnation)
        engine.post.hint("dispatcher", EngineReady(owner, free))
        self.stage.settle()
        return engine

    def worker(self, name: str = "worker-1", window: int = 10, incarnation: str = "b-1") -> Extra:
        worker = self.stage.extra(name, incarnation)
        worker.post.hint("dispatcher", WorkerReady(("default",), window, 0))
        self.stage.settle()
        return worker

    def look(self, *, runs: bool = True, tasks: bool = False) -> None:
        router = self.stage.extra("router")
        router.post.hint("dispatcher", Look(runs, tasks))
        self.stage.settle()

    def notice(self, *kinds: str) -> None:
        self.dispatcher.notice([Notice(kind) for kind in kinds])
        self.stage.settle()

    def tasks(self, count: int) -> list[Lease]:
        """Runs owned by an engine of another node, each with one queued task."""
        self.stage.insert(count)
        leases = self.stage.claim(self.stage.owner(node="elsewhere"), count)
        for lease in leases:
            self.stage.set_task(lease)
        return leases

    def outcomes(self, lease: Lease) -> list[bool]:
        (mail,) = self.store.journal.mail([lease])
        return [outcome.ok for outcome in mail.outcomes]


def assigned(engine: Extra) -> list[UUID]:
    return [
        run.run_id for message in engine.take(Assign) if isinstance(message, Assign) for run in message.runs
    ]


def executed(worker: Extra) -> list[Execute]:
    return [message for message in worker.take(Execute) if isinstance(message, Execute)]


def finish(scene: Scene, worker: Extra, *tasks: Execute, incarnation: str = "b-1") -> None:
    worker.send("dispatcher", *(Finished(*task.key, True, b"v") for task in tasks), incarnation=incarnation)
    scene.stage.settle()
