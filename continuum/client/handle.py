"""A run that somebody holds: the client's operations with the run's id filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast
from uuid import UUID

from continuum.core.definitions import Workflow
from continuum.core.effects import Signal
from continuum.errors import RunNotFoundError
from continuum.model.history import History
from continuum.model.retry import Duration
from continuum.model.run import Run

if TYPE_CHECKING:
    from continuum.client.asynchronous import AsyncClient
    from continuum.client.blocking import Client

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class _Known:
    """The run is there, as far as the handle knows: what an operation raises, it raises."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None: ...


class _Uncommitted(_Known):
    """The run was started in a transaction of the caller's: an unknown run was never committed."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, RunNotFoundError):
            raise RunNotFoundError(error.run_id, started_in_transaction=True) from None


_KNOWN, _UNCOMMITTED = _Known(), _Uncommitted()


class RunHandle(Generic[R_co]):
    """A run by its id. It holds nothing of the database and is valid as long as its client.

    Handles are equal when they name the same run.
    """

    def __init__(
        self, client: Client, id: UUID, workflow: Workflow[..., Any] | None = None, borrowed: bool = False
    ) -> None:
        self.id = id
        self._client = client
        self._workflow = workflow
        self._known = _UNCOMMITTED if borrowed else _KNOWN

    def result(self, timeout: Duration | None = None) -> R_co:
        """Wait for the end of the run; see :meth:`Client.result`."""
        with self._known:
            return cast("R_co", self._client._result(self.id, self._workflow, timeout))

    def signal(self, signal: Signal[T] | str, payload: T | None = None, *, id: str | None = None) -> None:
        """Send the run a signal; see :meth:`Client.signal`."""
        with self._known:
            self._client.signal(self.id, signal, payload, id=id)

    def cancel(self, *, reason: str | None = None, cleanup: Duration | None = None) -> None:
        """Cancel the run; see :meth:`Client.cancel`."""
        with self._known:
            self._client.cancel(self.id, reason=reason, cleanup=cleanup)

    def run(self) -> Run:
        """Return what is known of the run; see :meth:`Client.get_run`."""
        with self._known:
            return self._client.get_run(self.id)

    def history(self) -> History:
        """Return the run's events; see :meth:`Client.history`."""
        with self._known:
            return self._client.history(self.id)

    def set_attributes(self, attributes: Mapping[str, object]) -> None:
        """Merge attributes into the run's; see :meth:`Client.set_attributes`."""
        with self._known:
            self._client.set_attributes(self.id, attributes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunHandle) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"RunHandle({str(self.id)!r})"


class AsyncRunHandle(Generic[R_co]):
    """A run by its id, for asyncio: :class:`RunHandle` with coroutines."""

    def __init__(
        self,
        client: AsyncClient,
        id: UUID,
        workflow: Workflow[..., Any] | None = None,
        borrowed: bool = False,
    ) -> None:
        self.id = id
        self._client = client
        self._workflow = workflow
        self._known = _UNCOMMITTED if borrowed else _KNOWN

    async def result(self, timeout: Duration | None = None) -> R_co:
        """Wait for the end of the run; see :meth:`AsyncClient.result`."""
        with self._known:
            return cast("R_co", await self._client._result(self.id, self._workflow, timeout))

    async def signal(
        self, signal: Signal[T] | str, payload: T | None = None, *, id: str | None = None
    ) -> None:
        """Send the run a signal; see :meth:`AsyncClient.signal`."""
        with self._known:
            await self._client.signal(self.id, signal, payload, id=id)

    async def cancel(self, *, reason: str | None = None, cleanup: Duration | None = None) -> None:
        """Cancel the run; see :meth:`AsyncClient.cancel`."""
        with self._known:
            await self._client.cancel(self.id, reason=reason, cleanup=cleanup)

    async def run(self) -> Run:
        """Return what is known of the run; see :meth:`AsyncClient.get_run`."""
        with self._known:
            return await self._client.get_run(self.id)

    async def history(self) -> History:
        """Return the run's events; see :meth:`AsyncClient.history`."""
        with self._known:
            return await self._client.history(self.id)

    async def set_attributes(self, attributes: Mapping[str, object]) -> None:
        """Merge attributes into the run's; see :meth:`AsyncClient.set_attributes`."""
        with self._known:
            await self._client.set_attributes(self.id, attributes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AsyncRunHandle) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"AsyncRunHandle({str(self.id)!r})"
