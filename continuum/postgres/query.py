"""Conditions, order and pages over runs, as SQL (chapter Q).

As in SQL, a field or attribute that a run does not have satisfies no condition, not even ``!=``. Attributes compare
by type. A page starts after the cursor's (value, id), so runs that are added meanwhile move nothing.

Names come from the lists below, values travel as parameters: nothing that a caller wrote becomes SQL.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import LiteralString
from uuid import UUID

from psycopg import sql

from continuum.model.query import Condition, Operator, Query, check, moment_of, values_of

_TIMES: dict[str, LiteralString] = {
    "created_at": "created_at",
    "started_at": "started_at",
    "completed_at": "completed_at",
}
_TEXTS: dict[str, LiteralString] = {"key": "key", "state": "state", "workflow": "workflow"}
_OPERATORS: dict[Operator, LiteralString] = {
    "==": "=",
    "!=": "<>",
    "<": "<",
    "<=": "<=",
    ">": ">",
    ">=": ">=",
}


class Clause:
    """A piece of SQL and its parameters, in order."""

    def __init__(self, text: LiteralString, *parameters: object) -> None:
        self.text = sql.SQL(text)
        self.parameters = parameters


_NOTHING = Clause("false")


def clauses_of(query: Query) -> list[Clause]:
    """Return what follows the ``where true`` of ``query.sql``.

    Raises:
        ConfigurationError: an unknown field, or a value that cannot be compared with its field.
    """
    check(query)
    conditions = [_condition(condition) for condition in query.where]
    if query.namespace is not None:
        conditions.append(Clause("namespace = %s", query.namespace))
    if query.cursor is not None:
        conditions.append(_after(query, *query.cursor))
    return [
        *(part for condition in conditions for part in (Clause("and ("), condition, Clause(")"))),
        _order(query),
        Clause("limit %s", query.limit + 1),
    ]


def _order(query: Query) -> Clause:
    column = _order_column(query)
    if query.order.descending:
        return Clause("order by " + column + " desc, id desc")
    return Clause("order by " + column + ", id")


def _order_column(query: Query) -> LiteralString:
    return _TIMES[query.order.field]


def _after(query: Query, value: str | None, run_id: str) -> Clause:
    """The rows after the cursor; a moment that has not come is later than every other."""
    column, moment, last = _order_column(query), moment_of(value), UUID(run_id)
    if moment is None:
        if query.order.descending:
            return Clause(column + " is not null or id < %s", last)
        return Clause(column + " is null and id > %s", last)
    if query.order.descending:
        return Clause("(" + column + ", id) < (%s, %s)", moment, last)
    later: LiteralString = "(" + column + ", id) > (%s, %s)"
    return Clause(later if column == "created_at" else later + " or " + column + " is null", moment, last)


def _condition(condition: Condition) -> Clause:
    name = condition.path[0]
    if condition.attribute:
        return _attribute(condition)
    if name == "id":
        return _id(condition)
    if name in _TIMES:
        return _field(condition, _TIMES[name], "::timestamptz", moment_of)
    return _field(condition, _TEXTS[name] + ' collate "C"', "::text", _text)


def _field(condition: Condition, column: LiteralString, cast: LiteralString, convert: object) -> Clause:
    assert callable(convert), "a converter of one value"
    if condition.operator == "in":
        return Clause(column + " = any(%s" + cast + "[])", [convert(value) for value in values_of(condition)])
    value = convert(condition.value)
    return Clause(column + " " + _OPERATORS[condition.operator] + " %s" + cast, value)


def _id(condition: Condition) -> Clause:
    """Equality by the primary key; what is no UUID is the id of no run."""
    if condition.operator not in ("==", "in"):
        return _field(condition, 'id::text collate "C"', "::text", _text)
    asked = values_of(condition) if condition.operator == "in" else (condition.value,)
    return Clause("id = any(%s::uuid[])", [run_id for value in asked if (run_id := _uuid(value)) is not None])


def _attribute(condition: Condition) -> Clause:
    # "->" by name, not "#>": an array has no element called "0".
    steps: LiteralString = "(attributes" + " -> %s::text" * len(condition.path) + ")"
    path, value = condition.path, condition.value
    match condition.operator:
        case "==":
            return _attribute_in(steps, path, [value])
        case "in":
            return _attribute_in(steps, path, values_of(condition))
        case "!=":
            if (text := _json(value)) is None:
                return Clause(steps + " <> 'null'", *path)
            return Clause(steps + " <> 'null' and " + steps + " <> %s::jsonb", *path, *path, text)
        case _:
            return _attribute_order(steps, condition)


def _attribute_in(steps: LiteralString, path: tuple[str, ...], values: Iterable[object]) -> Clause:
    """Containment finds the rows by the index, equality sorts out those that only contain the value."""
    texts = [text for value in values if (text := _json(value)) is not None]
    probes = [_nested(path, text) for text in texts]
    return Clause(
        "attributes <> '{}' and attributes @> any(%s::text[]::jsonb[]) and "
        + steps
        + " = any(%s::text[]::jsonb[])",
        probes,
        *path,
        texts,
    )


def _attribute_order(steps: LiteralString, condition: Condition) -> Clause:
    path, value, operator = condition.path, condition.value, _OPERATORS[condition.operator]
    match value:
        case str():
            text: LiteralString = "(" + steps + " #>> '{}') collate \"C\" " + operator + " %s::text"
            return Clause("jsonb_typeof(" + steps + ") = 'string' and " + text, *path, *path, value)
        case bool() | int() | float() if (number := _json(value)) is not None:
            kind: LiteralString = "'boolean'" if isinstance(value, bool) else "'number'"
            order: LiteralString = steps + " " + operator + " %s::jsonb"
            return Clause("jsonb_typeof(" + steps + ") = " + kind + " and " + order, *path, *path, number)
        case _:
            return _NOTHING


def _json(value: object) -> str | None:
    """Return the value as JSON; None for ``None``, which no attribute equals."""
    return None if value is None else json.dumps(value, allow_nan=False)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _nested(path: tuple[str, ...], text: str) -> str:
    for name in reversed(path):
        text = f"{{{json.dumps(name)}: {text}}}"
    return text


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None
