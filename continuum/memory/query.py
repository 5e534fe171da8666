"""Conditions, order and pages over the rows of runs (chapter Q).

As in SQL, a field or attribute that a run does not have satisfies no condition, not even ``!=``. Attributes
compare by type: ``1`` is neither ``"1"`` nor ``true``; an order between values of different types does not
exist. A page starts after the cursor's (value, id), so runs that are added meanwhile move nothing; moments
compare in whole microseconds, and a moment that has not come is later than every other.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from continuum.model.query import ORDER_FIELDS, Condition, Query, check, moment_of, values_of
from continuum.ports.catalog import RunRow

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ORDERINGS: dict[str, Callable[..., bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_Key = tuple[bool, int, UUID]


def page(query: Query, rows: Iterable[RunRow]) -> list[RunRow]:
    """Return the first ``limit + 1`` rows of the page, in order.

    Raises:
        ConfigurationError: an unknown field, or a value that cannot be compared with its field.
    """
    check(query)

    def key(row: RunRow) -> _Key:
        return _order_key(_microseconds(getattr(row, query.order.field)), row.id)

    found = [row for row in rows if _in_namespace(query, row) and all(_holds(c, row) for c in query.where)]
    if query.cursor is not None:
        value, run_id = query.cursor
        last = _order_key(_microseconds(value), UUID(run_id))
        found = [row for row in found if (key(row) < last if query.order.descending else key(row) > last)]
    return sorted(found, key=key, reverse=query.order.descending)[: query.limit + 1]


def _in_namespace(query: Query, row: RunRow) -> bool:
    return query.namespace is None or row.namespace == query.namespace


def _order_key(moment: int | None, run_id: UUID) -> _Key:
    return (moment is None, moment or 0, run_id)


def _holds(condition: Condition, row: RunRow) -> bool:
    found = _attribute(condition, row) if condition.attribute else getattr(row, condition.path[0])
    if found is None:
        return False
    pairs = [_comparable(condition, found, value) for value in values_of(condition)]
    if condition.operator in ("==", "in"):
        return any(_equal(left, right) for left, right in pairs)
    ((left, right),) = pairs
    if condition.operator == "!=":
        return not _equal(left, right) and (condition.attribute or right is not None)
    return _type(left) == _type(right) != "other" and _ORDERINGS[condition.operator](left, right)


def _attribute(condition: Condition, row: RunRow) -> object:
    found: object = row.attributes
    for name in condition.path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _comparable(condition: Condition, found: object, value: object) -> tuple[object, object]:
    """Return both sides as values of one kind: moments as microseconds, ids as their text."""
    if condition.attribute:
        return found, value
    if condition.path[0] in ORDER_FIELDS:
        return _microseconds(found), _microseconds(value)
    if condition.path[0] == "id" and condition.operator in ("==", "in"):
        return found, _uuid(value)
    return str(found), None if value is None else str(value)


def _uuid(value: object) -> UUID | None:
    """Return the id that the value names; what is no UUID is the id of no run."""
    try:
        return UUID(str(value))
    except ValueError:
        return None


def _microseconds(value: object) -> int | None:
    moment = moment_of(value)
    return None if moment is None else (moment - _EPOCH) // timedelta(microseconds=1)


def _type(value: object) -> str:
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case _:
            return "other"


def _equal(left: object, right: object) -> bool:
    """JSON equality: Python's, but for booleans, which are no numbers."""
    match left, right:
        case (dict(), dict()):
            return left.keys() == right.keys() and all(
                _equal(value, right[name]) for name, value in left.items()
            )
        case (list(), list() | tuple()):
            return len(left) == len(right) and all(map(_equal, left, right))
        case _:
            return _type(left) == _type(right) and left == right
