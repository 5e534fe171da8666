"""Fills tables with copies of a real run: its row and its events as the product wrote them, under new ids.

So the copies have the columns, payloads and indexes of the day, whatever a migration adds. Their ids and times are
spread over the present month, as those of runs that clients start are: new runs are at one end of every index.
"""

from __future__ import annotations

from typing import LiteralString
from uuid import UUID

from psycopg import sql

from bench.bed import Bed
from bench.errors import BenchError

_BATCH_RUNS = 50_000  # a transaction: progress can be interrupted, and its memory is bounded

_COLUMNS = sql.SQL(
    "select column_name from information_schema.columns"
    " where table_schema = %s and table_name = %s and is_generated = 'NEVER' order by ordinal_position"
)
_HELD = sql.SQL("select lease_owner is not null from {schema}.continuum_runs where id = %s")
_COUNT = sql.SQL("select count(*) from {schema}.continuum_events where run_id = %s")
# A UUIDv7 of the moment, as the client makes them (RFC 9562 §5.7).
_IDS = sql.SQL("""
insert into bench_fill (id, moment)
select (lpad(to_hex((extract(epoch from moment) * 1000)::bigint), 12, '0') || '7' || substr(random, 1, 3)
        || '8' || substr(random, 4, 15))::uuid, moment
from (
    select date_trunc('month', now()) + (now() - date_trunc('month', now())) * (number / %(total)s::float8) as moment,
        md5(%(namespace)s::text || number) as random
    from generate_series(%(first)s::bigint, %(last)s::bigint) as number
) as made
""")
# "lateral" and "offset 0" keep the copies of a run together, as one engine writes them.
_COPY = sql.SQL("""
with template as materialized (select * from {schema}.{table} where {key} = %(template)s order by {order})
insert into {schema}.{table} ({columns})
select {values}
from bench_fill as fill, lateral (select * from template where fill.id is not null offset 0) as row
""")
_KEYS = {"continuum_runs": ("id", "id"), "continuum_events": ("run_id", "seq")}
_OWN: dict[str, dict[str, LiteralString]] = {
    "continuum_runs": {
        "id": "fill.id",
        "key": "null",
        "namespace": "%(namespace)s::text",
        "correlation_id": "fill.id",
        "created_at": "fill.moment",
        "started_at": "fill.moment",
        "completed_at": "fill.moment + (row.completed_at - row.created_at)",
    },
    "continuum_events": {"run_id": "fill.id", "inserted_at": "fill.moment"},
}


def copy_run(bed: Bed, template: UUID, runs: int, namespace: str) -> int:
    """Make ``runs`` copies of a run, which rests or has ended, in a namespace; return how many events they have.

    Raises:
        BenchError: there is no such run, or somebody holds it.
    """
    if bed.ask(_HELD, [template]) != [(False,)]:
        raise BenchError(f"run {template} is no template: it does not exist, or an engine holds it")
    bed.ask(sql.SQL("set synchronous_commit = off"))
    bed.ask(sql.SQL("create temporary table bench_fill (id uuid, moment timestamptz)"))
    for first in range(1, runs + 1, _BATCH_RUNS):
        last = min(first + _BATCH_RUNS - 1, runs)
        numbers = {"namespace": namespace, "total": runs, "first": first, "last": last}
        bed.ask(sql.SQL("truncate bench_fill"))
        bed.ask(_IDS, numbers)
        for table, own in _OWN.items():
            given = {"template": template, **({"namespace": namespace} if "namespace" in own else {})}
            bed.ask(_copy(bed, table), given)
    bed.ask(sql.SQL("drop table bench_fill"))
    bed.ask(sql.SQL("reset synchronous_commit"))
    settle(bed)
    return runs * round(bed.number(_COUNT, [template]))


def settle(bed: Bed) -> None:
    """Do now what PostgreSQL would do in the middle of the measurement: vacuum, statistics, a checkpoint."""
    bed.ask(sql.SQL("vacuum (analyze) {schema}.continuum_runs"))
    bed.ask(sql.SQL("vacuum (analyze) {schema}.continuum_events"))
    bed.ask(sql.SQL("checkpoint"))


def _copy(bed: Bed, table: str) -> sql.Composed:
    key, order = _KEYS[table]
    columns = [column for (column,) in bed.ask(_COLUMNS, [bed.schema_name, table])]
    own = _OWN[table]
    values = [sql.SQL(own[column]) if column in own else sql.Identifier("row", column) for column in columns]
    return _COPY.format(
        schema=bed.schema,
        table=sql.Identifier(table),
        key=sql.Identifier(key),
        order=sql.Identifier(order),
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        values=sql.SQL(", ").join(values),
    )
