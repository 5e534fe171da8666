"""What ``Client.query`` takes: conditions on a run's fields and attributes, an order, a page (chapter Q)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from continuum.errors import ConfigurationError

Operator = Literal["==", "!=", "<", "<=", ">", ">=", "in"]
FIELDS: tuple[str, ...] = ("id", "key", "state", "workflow", "created_at", "started_at", "completed_at")
ORDER_FIELDS: tuple[str, ...] = ("created_at", "started_at", "completed_at")
LIMIT_MAX = 1000


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
