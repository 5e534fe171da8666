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

from continuum.errors import ConfigurationError
from continuum.model.query import FIELDS, ORDER_FIELDS, Condition, Query
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
    _check(query)

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


def _check(query: Query) -> None:
    if query.order.field not in ORDER_FIELDS:
        raise ConfigurationError(
            f"cannot order by {query.order.field!r}; there are {', '.join(ORDER_FIELDS)}"
        )
    for condition in query.where:
        name, value = condition.path[0], condition.value
        if not condition.attribute and name not in FIELDS:
            raise ConfigurationError(f"no field {name!r} to query by; there are {', '.join(FIELDS)}")
        if condition.operator == "in" and not isinstance(value, (list, tuple, set, frozenset)):
            raise ConfigurationError(f"in_() takes a sequence of values, not {value!r}")
        if not condition.attribute and name in ORDER_FIELDS:
            for moment in _values(condition):
                _microseconds(moment)


def _values(condition: Condition) -> Iterable[object]:
    """Return what the condition compares with: one value, or those of an ``in``."""
    value = condition.value
    return value if condition.operator == "in" and isinstance(value, Iterable) else (value,)


def _holds(condition: Condition, row: RunRow) -> bool:
    found = _attribute(condition, row) if condition.attribute else getattr(row, condition.path[0])
    if found is None:
        return False
    pairs = [_comparable(condition, found, value) for value in _values(condition)]
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
    return str(found), str(value)


def _uuid(value: object) -> UUID | None:
    """Return the id that the value names; what is no UUID is the id of no run."""
    try:
        return UUID(str(value))
    except ValueError:
        return None


def _microseconds(value: object) -> int | None:
    """Return a moment, given as seconds since the epoch, an aware datetime or ISO text, in microseconds."""
    match value:
        case None:
            return None
        case str():
            try:
                return _microseconds(datetime.fromisoformat(value))
            except ValueError:
                raise ConfigurationError(f"{value!r} is no moment in ISO format") from None
        case datetime() if value.tzinfo is not None:
            return (value - _EPOCH) // timedelta(microseconds=1)
        case int() | float():
            return round(value * 1_000_000)
        case _:
            raise ConfigurationError(f"{value!r} is no moment; give a datetime with a time zone")


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
