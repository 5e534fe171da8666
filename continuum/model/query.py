"""What ``Client.query`` takes: conditions on a run's fields and attributes, an order, a page (chapter Q)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

from continuum.errors import ConfigurationError
from continuum.model.storable import find_unstorable

Operator = Literal["==", "!=", "<", "<=", ">", ">=", "in"]
FIELDS: tuple[str, ...] = ("id", "key", "state", "workflow", "created_at", "started_at", "completed_at")
ORDER_FIELDS: tuple[str, ...] = ("created_at", "started_at", "completed_at")
LIMIT_MAX = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Condition(msgspec.Struct, frozen=True):
    """``path`` is a field's name, or the path of an attribute when ``attribute`` is true."""

    path: tuple[str, ...]
    attribute: bool
    operator: Operator
    value: object


class Operand:
    """A field or an attribute; comparing it makes a :class:`Condition`."""

    def __init__(self, path: tuple[str, ...], attribute: bool) -> None:
        self._path, self._attribute = path, attribute

    def _condition(self, operator: Operator, value: object) -> Condition:
        return Condition(self._path, self._attribute, operator, value)

    def __eq__(self, value: object) -> Condition:  # type: ignore[override]
        return self._condition("==", value)

    def __ne__(self, value: object) -> Condition:  # type: ignore[override]
        return self._condition("!=", value)

    def __lt__(self, value: object) -> Condition:
        return self._condition("<", value)

    def __le__(self, value: object) -> Condition:
        return self._condition("<=", value)

    def __gt__(self, value: object) -> Condition:
        return self._condition(">", value)

    def __ge__(self, value: object) -> Condition:
        return self._condition(">=", value)

    def in_(self, values: Sequence[object]) -> Condition:
        return self._condition("in", tuple(values))

    __hash__ = None  # type: ignore[assignment]


def attr(*path: str) -> Operand:
    """An attribute of a run by its path: ``attr("customer", "plan") == "pro"``."""
    if not path:
        raise ConfigurationError('attr() needs a name, such as attr("plan")')
    return Operand(path, True)


def field(name: str) -> Operand:
    """A field of a run: one of ``id key state workflow created_at started_at completed_at``."""
    if name not in FIELDS:
        raise ConfigurationError(f"no field {name!r} to query by; there are {', '.join(FIELDS)}")
    return Operand((name,), False)


class Order(msgspec.Struct, frozen=True):
    field: str = "created_at"
    descending: bool = True


def asc(name: str) -> Order:
    """Order by ``created_at``, ``started_at`` or ``completed_at``, the oldest first."""
    return _order(name, False)


def desc(name: str) -> Order:
    """Order by ``created_at``, ``started_at`` or ``completed_at``, the newest first."""
    return _order(name, True)


def _order(name: str, descending: bool) -> Order:
    if name not in ORDER_FIELDS:
        raise ConfigurationError(f"cannot order by {name!r}; there are {', '.join(ORDER_FIELDS)}")
    return Order(name, descending)


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """``cursor`` is (value of the order field as ISO text or None, run id) of the last row of the page before."""

    namespace: str | None = "default"
    where: tuple[Condition, ...] = ()
    order: Order = Order()
    limit: int = 100
    cursor: tuple[str | None, str] | None = None


def check(query: Query) -> None:
    """Refuse what no store can compare, the same everywhere.

    Raises:
        ConfigurationError: an unknown field, or a value that cannot be compared with its field.
    """
    if query.order.field not in ORDER_FIELDS:
        raise ConfigurationError(
            f"cannot order by {query.order.field!r}; there are {', '.join(ORDER_FIELDS)}"
        )
    for condition in query.where:
        check_condition(condition)


def check_condition(condition: Condition) -> None:
    """Refuse a condition that no store can compare.

    Raises:
        ConfigurationError: it is of an unknown field, or its value cannot be compared with its field.
    """
    name = condition.path[0]
    if not condition.attribute and name not in FIELDS:
        raise ConfigurationError(f"no field {name!r} to query by; there are {', '.join(FIELDS)}")
    if condition.attribute and not all(isinstance(step, str) for step in condition.path):
        raise ConfigurationError(f"the path of an attribute is made of names, not {condition.path!r}")
    _refuse_unstorable(condition.path, "the name of an attribute")
    for value in values_of(condition):
        if condition.attribute:
            _check_json(value)
        elif name in ORDER_FIELDS:
            moment_of(value)
        elif not (
            value is None or isinstance(value, str) or (name in ("id", "key") and isinstance(value, UUID))
        ):
            raise ConfigurationError(
                f"field({name!r}) is a text, and is compared with one, not with {value!r}"
            )
        _refuse_unstorable(value, f"what {name!r} is compared with,")


def values_of(condition: Condition) -> Iterable[object]:
    """Return what the condition compares with: one value, or those of an ``in``.

    Raises:
        ConfigurationError: an ``in`` has no values.
    """
    value = condition.value
    if condition.operator != "in":
        return (value,)
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise ConfigurationError(f"in_() takes a sequence of values, not {value!r}")
    return value


def moment_of(value: object) -> datetime | None:
    """Return a moment, given as seconds since the epoch, an aware datetime or ISO text.

    Raises:
        ConfigurationError: it is none, or beyond the years 1 to 9999.
    """
    match value:
        case None:
            return None
        case str():
            try:
                return moment_of(datetime.fromisoformat(value))
            except ValueError:
                raise ConfigurationError(f"{value!r} is no moment in ISO format") from None
        case datetime() if value.tzinfo is not None:
            return value
        case int() | float() if not isinstance(value, bool):
            try:
                return _EPOCH + timedelta(microseconds=round(value * 1_000_000))
            except (ValueError, OverflowError):  # not a number, without end, or far away
                raise ConfigurationError(
                    f"{value!r} seconds since 1970 are no moment of the years 1 to 9999"
                ) from None
        case _:
            raise ConfigurationError(f"{value!r} is no moment; give a datetime with a time zone")


def _check_json(value: object) -> None:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"no attribute can be compared with {value!r:.80}: attributes are JSON ({error})"
        ) from None


def _refuse_unstorable(value: object, what: str) -> None:
    found = find_unstorable(value)
    if found is not None:
        raise ConfigurationError(
            f"{what} holds a character that PostgreSQL cannot store: {found[:40]!r} has a NUL, or half of a "
            "surrogate pair"
        )
