"""Rows of a file, one by one: none but those of a JSON array are kept, so that a file may be of any length."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from inversescope.errors import UserError

Row = tuple[str, dict[str, Any]]  # place in the file, for messages; column -> value
Rows = tuple[list[str], Iterator[Row]]  # columns, rows
BATCH = 1024  # rows of a Parquet file that are read at once
LONGEST = 2**31 - 1  # characters of a cell


def read_file(path: Path) -> Rows:
    """The columns and the rows of a file: .txt (one text a line), .csv, .tsv, .jsonl, .ndjson, .json, .parquet; any but
    the last may be packed (.gz).

    Raises:
        UserError: the file is missing, of another kind, or empty, or two of its columns have one name; on the way, that
            a row is not readable.
    """
    packed = path.suffix.lower() == ".gz"
    kind = (Path(path.stem) if packed else path).suffix.lower()
    readers: dict[str, Callable[[Path], Rows]] = {
        ".txt": _txt,
        ".csv": _csv,
        ".tsv": _csv,
        ".jsonl": _json_lines,
        ".ndjson": _json_lines,
        ".json": _json,
        ".parquet": _parquet,
    }
    if kind not in readers or (packed and kind == ".parquet"):
        allowed = f"{', '.join(readers)}; all but the last also with .gz"
        raise UserError("texts are not read from this kind of file", given=path, allowed=allowed)
    if not path.is_file():
        raise UserError("there is no such file", given=path)
    columns, rows = readers[kind](path)
    require_distinct(columns, path)
    return columns, not_empty(rows, path)


def require_distinct(columns: Sequence[str], source: object) -> None:
    """Check that no two columns have one name."""
    if twice := sorted({column for column in columns if columns.count(column) > 1}):
        raise UserError("two columns have one name", given=f"{source}: {', '.join(map(repr, twice))}")


def not_empty(rows: Iterator[Row], source: object) -> Iterator[Row]:
    """The rows, if there is one."""
    first = next(rows, None)
    if first is None:
        raise UserError("there is no row to read: the file or data set is empty", given=source)
    return chain([first], rows)


def with_names(row: dict[str, Any], classes: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The row with the names of its classes in place of their numbers; −1 is none."""
    named = {
        column: names[row[column]] if row[column] >= 0 else None
        for column, names in classes.items()
        if isinstance(row.get(column), int) and row[column] < len(names)
    }
    return row | named


def _txt(path: Path) -> Rows:
    return ["text"], ((where, {"text": line}) for where, line in _lines(path))


def _json_lines(path: Path) -> Rows:
    """Read twice: a column may first appear in the last row."""
    return list(dict.fromkeys(column for _, row in _objects(path) for column in row)), _objects(path)


def _objects(path: Path) -> Iterator[Row]:
    for where, line in _lines(path):
        yield where, _object(_parsed(line, where) if line.strip() else {}, where)


def _json(path: Path) -> Rows:
    """An array of objects, or JSON lines under this name."""
    text = "".join(line for _, line in _decoded(path))
    if not text.lstrip().startswith("["):
        return _json_lines(path)
    places = ((f"{path}, item {number}", item) for number, item in enumerate(_parsed(text, str(path)), start=1))
    rows = [(where, _object(item, where)) for where, item in places]
    return list(dict.fromkeys(column for _, row in rows for column in row)), iter(rows)


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            "this is not valid JSON", given=f"{where}: {error}", allowed="one object a line, or an array of objects"
        ) from error


def _object(item: object, where: str) -> dict[str, Any]:
    if isinstance(item, dict):
        return item
    given = f"{where}: {json.dumps(item)[:80]}"
    raise UserError("a row is not a JSON object", given=given, allowed='{"text": "...", ...}')


def _csv(path: Path) -> Rows:
    """A table whose first row names the columns, separated by commas, semicolons or tabs: whichever that row has."""
    csv.field_size_limit(LONGEST)
    rows = _cells(path)
    _, header = next(rows, ("", []))
    return header, ((where, _as_row(cells, header, where)) for where, cells in rows)


def _cells(path: Path) -> Iterator[tuple[str, list[str]]]:
    head = next(_decoded(path), (0, ""))[1]
    separator = max("\t,;" if ".tsv" in path.name.lower() else ",;\t", key=head.count)
    reader, line = csv.reader((line for _, line in _decoded(path)), delimiter=separator, strict=True), 1
    try:
        for cells in reader:
            yield f"{path}, line {line}", cells
            line = reader.line_num + 1
    except csv.Error as error:
        remedy = 'a text with a separator, quote or line break in it stands in quotes, and its quotes are doubled ("")'
        raise UserError(
            "a row of the table cannot be read", given=f"{path}, line {line}: {error}", remedy=remedy
        ) from (error)


def _as_row(cells: list[str], header: list[str], where: str) -> dict[str, Any]:
    if cells and len(cells) != len(header):
        raise UserError(
            "a row has not as many cells as there are columns",
            given=f"{where}: {len(cells)} cells",
            allowed=f"{len(header)}: {', '.join(header)}",
            remedy="put texts with a separator in them in quotes",
        )
    return dict(zip(header, cells, strict=bool(cells)))


def _parquet(path: Path) -> Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def rows() -> Iterator[Row]:
        try:
            batches = (row for batch in table.iter_batches(BATCH) for row in batch.to_pylist())
            for number, row in enumerate(batches, start=1):
                yield f"{path}, row {number}", with_names(row, classes)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(path, error) from error

    try:
        table = pq.ParquetFile(path)
        classes = _class_names(table.schema_arrow.metadata or {})
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error
    return table.schema_arrow.names, rows()


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError("the file is not readable as Parquet", given=f"{path}: {error}")


def _class_names(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """The names of the classes of columns with numbers for classes, as `datasets` writes them in a Parquet file."""
    features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    return {
        name: feature["names"]
        for name, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines of a UTF-8 file with their places. Only a newline ends a line: texts may hold other separators."""
    for number, line in _decoded(path):
        yield f"{path}, line {number}", line.removesuffix("\n").removesuffix("\r")


def _decoded(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file with their ends, numbered; a byte-order mark is no part of the first."""
    start = 0
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    text = line.decode("utf-8")
                except UnicodeDecodeError as error:
                    raise UserError(
                        "the file is not UTF-8",
                        given=f"{path}, line {number}, byte {start + error.start} of the file: "
                        f"{line[error.start : error.end]!r}",
                        remedy="save it as UTF-8",
                    ) from error
                yield number, text.removeprefix("\ufeff") if number == 1 else text
                start += len(line)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError("the file cannot be read", given=f"{path}: {error}") from error
