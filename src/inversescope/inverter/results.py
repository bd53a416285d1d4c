"""Tables of a run as data frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from inversescope import files, records
from inversescope.errors import UserError

if TYPE_CHECKING:
    import pandas


def read_results(run: Path, name: str) -> pandas.DataFrame:
    """The table at a path of a run directory, with or without `.parquet`.

    Raises:
        UserError: a run has no such table, its step is not done, or the file is not what was written.
    """
    tables = [record for room in records.ROOMS for record in room.records if isinstance(record, records.Table)]
    known = {table.path.removesuffix(".parquet"): table for table in tables if table.describes(table.path)}
    table = known.get(name.removesuffix(".parquet"))
    if table is None:
        raise UserError("a run has no such table", given=name, allowed=", ".join(known))
    path = run / table.path
    if not path.exists():
        raise UserError("this table is not written yet", given=path, remedy="do the step of its folder first")
    return files.read_table(path).to_pandas()
