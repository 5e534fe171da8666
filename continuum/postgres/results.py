"""Results that are kept by idempotency key, on PostgreSQL (A10).

``keep`` is three statements of one transaction: the runs are locked, so that their leases hold until it commits; names
that are free are taken; and a new snapshot reads what stands under each name, this result or the one that was first.
"""

from __future__ import annotations

from collections.abc import Sequence

from continuum.ports.journal import KeptResult, ResultKey
from continuum.postgres.arrays import bigints, byteas, texts, uuids
from continuum.postgres.session import Parameters, Row, Session

SHORT_BYTES_MAX = 16_384  # an outcome beyond it is read with few others
LARGE_MAX = 16
ANY_BYTES = 2**62


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
    found = {**names, "bytes_max": SHORT_BYTES_MAX}
    _, _, rows, held_rows = session.together(
        ("lock_leases", leases), ("keep", made), ("results", found), ("held", leases)
    )
    kept = _completed(session, rows)
    held = {(row[0], row[1]) for row in held_rows}
    return [kept[result.name] if (result.run_id, result.token) in held else None for result in results]


def read_results(session: Session, names: Sequence[ResultKey]) -> dict[ResultKey, bytes]:
    """Return what is kept under these names."""
    parameters = {**names_of(names), "bytes_max": SHORT_BYTES_MAX}
    return _completed(session, session.rows("results", parameters))


def _completed(session: Session, rows: Sequence[Row]) -> dict[ResultKey, bytes]:
    """Read the large results as well, a few at a time: all at once they might be gigabytes."""
    found = {ResultKey(activity, key): payload for activity, key, payload in rows}
    large = [name for name, payload in found.items() if payload is None]
    for start in range(0, len(large), LARGE_MAX):
        parameters = {**names_of(large[start : start + LARGE_MAX]), "bytes_max": ANY_BYTES}
        for activity, key, payload in session.rows("results", parameters):
            found[ResultKey(activity, key)] = payload
    return found


def names_of(names: Sequence[ResultKey]) -> Parameters:
    return {
        "activities": texts([name.activity for name in names]),
        "keys": texts([name.key for name in names]),
    }
