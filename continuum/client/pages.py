"""Queries as users write them, and their results page by page."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

import msgspec

from continuum.client.requests import text
from continuum.client.rows import moment, run_of
from continuum.errors import ConfigurationError
from continuum.model.query import LIMIT_MAX, Condition, Order, Query, check_condition
from continuum.model.run import Run
from continuum.ports.catalog import RunRow

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """A part of what a query found. ``next_cursor`` continues behind it and is None on the last page."""

    runs: list[T]
    next_cursor: str | None = None


def query_of(
    namespace: str | None,
    where: Sequence[Condition],
    order: Order | None,
    limit: int,
    cursor: str | None,
) -> Query:
    """Return the query, checked.

    Raises:
        TypeError, ConfigurationError: a condition, an order, a limit or a cursor that cannot be.
    """
    for condition in where:
        if not isinstance(condition, Condition):
            raise TypeError(f'where= takes conditions such as field("state") == "failed", not {condition!r}')
        check_condition(condition)
    if order is not None and not isinstance(order, Order):
        raise TypeError(f'order_by= takes asc("started_at") or desc("started_at"), not {order!r}')
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= LIMIT_MAX:
        raise ConfigurationError(
            f"limit is a whole number from 1 to {LIMIT_MAX:,}, not {limit!r}; follow next_cursor for more"
        )
    order = order or Order()
    return Query(
        namespace=None if namespace is None else text("namespace", namespace),
        where=tuple(where),
        order=order,
        limit=limit,
        cursor=None if cursor is None else _position(cursor, order),
    )


def page_of(query: Query, rows: Sequence[RunRow]) -> Page[Run]:
    """Return the page that ``rows``, one more than asked for if there are more, make."""
    shown = rows[: query.limit]
    cursor = _cursor(query.order, shown[-1]) if len(rows) > query.limit else None
    return Page([run_of(row) for row in shown], cursor)


def _cursor(order: Order, last: RunRow) -> str:
    """The place behind ``last``. It names its order, because behind it in another order are other rows."""
    value: float | None = getattr(last, order.field)
    place = [
        order.field,
        order.descending,
        None if value is None else moment(value).isoformat(),
        str(last.id),
    ]
    return urlsafe_b64encode(json.dumps(place).encode()).decode()


def _position(cursor: str, order: Order) -> tuple[str | None, str]:
    try:
        field, descending, value, run_id = json.loads(urlsafe_b64decode(cursor))
        position = (None if value is None else datetime.fromisoformat(value).isoformat(), str(UUID(run_id)))
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"{cursor!r} is no cursor; pass next_cursor of the page before") from error
    if (field, descending) != (order.field, order.descending):
        raise ConfigurationError(
            "the cursor is that of a query with another order; repeat the same order_by="
        )
    return position
