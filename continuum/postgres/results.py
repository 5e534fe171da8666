"""Results that are kept by idempotency key, on PostgreSQL (A10).

``keep`` is three statements of one transaction: the runs are locked, so that their leases hold until it commits; names
that are free are taken; and a new snapshot reads what stands under each name, this result or the one that was first.
"""

from __future__ import annotations

from collections.abc import Sequence

from continuum.ports.journal import KeptResult, ResultKey
from continuum.postgres.arrays import bigints, byteas, texts, uuids
from continuum.postgres.session import Parameters, Row, Session


def keep_results(session: Session, results: Sequence[KeptResult]) -> list[bytes | None]:
    """Return what is kept under the name of each result, None for those of runs that are not held."""
    if not results:
        return []
    leases = {
        "runs": uuids([result.run_id for result in results]),
        "tokens": bigints([result.token for result in results]),
    }
    names = names_of([result.name for result in results])
    made = {
        **leases,
        **names,
        "seqs": bigints([result.seq for result in results]),
        "payloads": byteas([result.payload for result in results]),
    }
    _, _, rows, held_rows = session.together(
        ("lock_leases", leases), ("keep", made), ("results", names), ("held", leases)
    )
    kept = stored_results(rows)
    held = {(row[0], row[1]) for row in held_rows}
    return [kept[result.name] if (result.run_id, result.token) in held else None for result in results]


def stored_results(rows: Sequence[Row]) -> dict[ResultKey, bytes]:
    return {ResultKey(activity, key): payload for activity, key, payload in rows}


def names_of(names: Sequence[ResultKey]) -> Parameters:
    return {
        "activities": texts([name.activity for name in names]),
        "keys": texts([name.key for name in names]),
    }
