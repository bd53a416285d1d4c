"""The records as a contract: the files, columns and keys of a run directory against `inversescope.records`."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq

from inversescope import records
from inversescope.files import MANIFEST


def differences(run: Path) -> list[str]:
    """One line for every file, column or key that only the records or only the run has; empty when they agree."""
    return [*missing(run), *unknown(run)]


def missing(run: Path) -> list[str]:
    """The records of which the run has no file. A folder that is made on request may be absent."""
    paths = _paths(run)
    rooms = [room for room in records.ROOMS if not room.on_request or (run / room.folder).exists()]
    always = [record for room in rooms for record in room.records if record.always]
    return [f"{record.path}: missing" for record in always if not any(map(record.describes, paths))]


def unknown(run: Path) -> list[str]:
    """Files without a record, and files that are not as their record says."""
    lines = []
    for path in _paths(run):
        record = records.described(path)
        if record is None and not path.endswith(MANIFEST):
            lines.append(f"{path}: no record")
        if isinstance(record, records.Table):
            lines += _table(run / path, path, record)
        if isinstance(record, records.Document):
            content = json.loads((run / path).read_text(encoding="utf-8"))
            items = content if isinstance(content, list) else [content]
            lines += [line for item in items if item is not None for line in _names(path, set(item), record.names)]
    return lines


def _table(file: Path, path: str, record: records.Table) -> list[str]:
    table = pq.read_table(file)
    features = [name.removeprefix(records.LABEL) for name in table.column_names if name.startswith(records.LABEL)]
    expected = record.schema(features if record.labels else ())
    if lines := _names(path, set(table.column_names), expected.names):
        return lines
    lines = [
        f"{path}: {column.name} is {table.schema.field(column.name).type}, not {column.type}"
        for column in expected
        if table.schema.field(column.name).type != column.type
    ]
    empty = [column.name for column in record.columns if not column.nullable and table[column.name].null_count]
    return lines + [f"{path}: {name} has nulls" for name in empty]


def _names(path: str, run: set[str], record: list[str]) -> list[str]:
    lines = [f"{path}: {name} is only in the records" for name in sorted(set(record) - run)]
    return lines + [f"{path}: {name} is only in the run" for name in sorted(run - set(record))]


def _paths(run: Path) -> list[str]:
    return sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())
