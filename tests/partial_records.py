"""Tables of a run directory with the columns that a test needs; the record refuses names that it does not have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from inversescope import records


def partial(record: records.Table, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """A table of these rows with every column of the record; what a row lacks is null."""
    rows = list(rows)
    given = dict.fromkeys(name for row in rows for name in row)
    labels = [name for name in given if record.labels and name.startswith(records.LABEL)]
    unknown = set(given) - {*record.names, *labels}
    assert not unknown, f"{record.path} has no {', '.join(sorted(unknown))}"
    return pa.Table.from_pylist(rows, schema=record.schema(name.removeprefix(records.LABEL) for name in labels))
