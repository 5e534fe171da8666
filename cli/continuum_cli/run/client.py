"""A client for the commands about one run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from continuum.client import Client
from continuum.errors import RunNotFoundError
from continuum_cli.failing import Refusal


@contextmanager
def client_for(run_id: str, database: str | None, instance: str) -> Iterator[Client]:
    """A client for the body. ``run_id`` is what the user typed: a run's id, or the key that it was started with.

    Raises:
        Refusal: there is no such run; in the user's words, not by the id that a key stands for.
    """
    with Client(database, instance=instance) as client:
        try:
            yield client
        except RunNotFoundError as error:
            raise Refusal(
                f"no run {run_id} in instance {instance}; nothing was changed. "
                "Check the id with `continuum run list --namespace all`"
            ) from error
