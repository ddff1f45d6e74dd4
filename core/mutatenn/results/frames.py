"""Verdicts as tables of pandas and Arrow."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mutatenn.api.verdict import Verdict
    from mutatenn.results.record import Record

ABOUT = ("operator", "category", "level", "stage")


def frame(records: Iterable[Record]) -> Any:
    """Return a pandas DataFrame, one row per mutant and environment; raises InputError without pandas."""
    try:
        import pandas as pd
    except ImportError:
        raise InputError("frames need pandas; install it: pip install 'mutatenn[frame]'") from None
    return pd.DataFrame(rows(records))


def table(records: Iterable[Record]) -> Any:
    """Return a pyarrow Table, one row per mutant and environment; raises InputError without pyarrow."""
    try:
        import pyarrow as pa
    except ImportError:
        raise InputError("tables need pyarrow; install it: pip install 'mutatenn[arrow]'") from None
    found = [{**row, "masked": json.dumps(row["masked"])} for row in rows(records)]
    names = {name: None for row in found for name in row}  # not every verdict has every oracle
    return pa.table({name: [row.get(name) for row in found] for name in names})


def rows(records: Iterable[Record]) -> Iterator[dict[str, Any]]:
    """Yield the verdicts as plain data, one for each mutant and environment."""
    for record in records:
        about = {key: getattr(record, key) for key in ABOUT}
        about |= {"layers": ", ".join(record.mutant.layers)}
        for verdict in record.verdicts.values():
            yield {**about, **_row(verdict)}


def _row(verdict: Verdict) -> dict[str, Any]:
    row = {
        key: value for key, value in attrs.asdict(verdict).items() if key not in {"oracles", "killed_images"}
    }
    row |= {"by": ",".join(verdict.by), "status": str(verdict.status)}
    for oracle, summary in verdict.oracles.items():
        row |= {f"{oracle}.{statistic}": value for statistic, value in summary.items()}
    return row
