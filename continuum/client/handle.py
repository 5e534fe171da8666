"""A run that somebody holds: the client's operations with the run's id filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast
from uuid import UUID

from continuum.core.definitions import Workflow
from continuum.core.effects import Signal
from continuum.model.history import History
from continuum.model.retry import Duration
from continuum.model.run import Run

if TYPE_CHECKING:
    from continuum.client.asynchronous import AsyncClient
    from continuum.client.blocking import Client

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class RunHandle(Generic[R_co]):
    """A run by its id. It holds nothing of the database and is valid as long as its client.

    Handles are equal when they name the same run.
    """

    def __init__(self, client: Client, id: UUID, workflow: Workflow[..., Any] | None = None) -> None:
        self.id = id
        self._client = client
        self._workflow = workflow

    def result(self, timeout: Duration | None = None) -> R_co:
        """Wait for the end of the run; see :meth:`Client.result`."""
        return cast("R_co", self._client._result(self.id, self._workflow, timeout))

    def signal(self, signal: Signal[T] | str, payload: T | None = None, *, id: str | None = None) -> None:
        """Send the run a signal; see :meth:`Client.signal`."""
        self._client.signal(self.id, signal, payload, id=id)

    def cancel(self, *, reason: str | None = None, cleanup: Duration | None = None) -> None:
        """Cancel the run; see :meth:`Client.cancel`."""
        self._client.cancel(self.id, reason=reason, cleanup=cleanup)

    def run(self) -> Run:
        """Return what is known of the run; see :meth:`Client.get_run`."""
        return self._client.get_run(self.id)

    def history(self) -> History:
        """Return the run's events; see :meth:`Client.history`."""
        return self._client.history(self.id)

    def set_attributes(self, attributes: Mapping[str, object]) -> None:
        """Merge attributes into the run's; see :meth:`Client.set_attributes`."""
        self._client.set_attributes(self.id, attributes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunHandle) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"RunHandle({str(self.id)!r})"


class AsyncRunHandle(Generic[R_co]):
    """A run by its id, for asyncio: :class:`RunHandle` with coroutines."""

    def __init__(self, client: AsyncClient, id: UUID, workflow: Workflow[..., Any] | None = None) -> None:
        self.id = id
        self._client = client
        self._workflow = workflow

    async def result(self, timeout: Duration | None = None) -> R_co:
        """Wait for the end of the run; see :meth:`AsyncClient.result`."""
        return cast("R_co", await self._client._result(self.id, self._workflow, timeout))

    async def signal(
        self, signal: Signal[T] | str, payload: T | None = None, *, id: str | None = None
    ) -> None:
        """Send the run a signal; see :meth:`AsyncClient.signal`."""
        await self._client.signal(self.id, signal, payload, id=id)

    async def cancel(self, *, reason: str | None = None, cleanup: Duration | None = None) -> None:
        """Cancel the run; see :meth:`AsyncClient.cancel`."""
        await self._client.cancel(self.id, reason=reason, cleanup=cleanup)

    async def run(self) -> Run:
        """Return what is known of the run; see :meth:`AsyncClient.get_run`."""
        return await self._client.get_run(self.id)

    async def history(self) -> History:
        """Return the run's events; see :meth:`AsyncClient.history`."""
        return await self._client.history(self.id)

    async def set_attributes(self, attributes: Mapping[str, object]) -> None:
        """Merge attributes into the run's; see :meth:`AsyncClient.set_attributes`."""
        await self._client.set_attributes(self.id, attributes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AsyncRunHandle) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"AsyncRunHandle({str(self.id)!r})"
