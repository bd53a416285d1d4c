"""Rows of a file or of a data set, one by one: none is kept, so that it may be of any length."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from inversescope.errors import UserError

Row = tuple[str, dict[str, Any]]  # place in the file, for messages; column -> value
BATCH = 1024  # rows of a Parquet file that are read at once


def read_file(path: Path) -> tuple[list[str], Iterator[Row]]:
    """The columns and the rows of a .txt file (one text a line), a .jsonl or a .parquet file.

    Raises:
        UserError: the file is missing, of another kind, or empty; on the way, that a row is not readable.
    """
    readers = {".txt": _txt, ".jsonl": _jsonl, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UserError("texts are not read from this kind of file", given=path, allowed=", ".join(readers))
    if not path.is_file():
        raise UserError("there is no such file", given=path)
    columns, rows = reader(path)
    return columns, _not_empty(rows, path)


def read_dataset(name: str, subset: str | None, split: str) -> tuple[list[str], Iterator[Row]]:
    """The columns and the rows of a data set: of the Hugging Face hub (streamed), of a folder of data files, or of one
    that `save_to_disk` wrote.

    Raises:
        UserError: `datasets` is not installed, or the data set, its subset or its split cannot be read.
    """
    try:
        import datasets
    except ImportError as error:
        remedy = 'pip install "inversescope[datasets]"'
        raise UserError("reading a data set needs the package datasets", given=name, remedy=remedy) from error
    folder, what = Path(name), f"{name!r}, subset {subset!r}, split {split!r}"
    try:
        if (folder / "dataset_dict.json").exists() or (folder / "state.json").exists():
            saved: Any = datasets.load_from_disk(name)
            data = _of_split(saved, split, what) if isinstance(saved, dict) else saved
        else:
            data = datasets.load_dataset(name, subset, split=split, streaming=True)
    except UserError:
        raise
    except (OSError, ValueError, RuntimeError, LookupError) as error:  # LookupError: what was saved has no rows
        raise _unreadable(what, error) from error
    rows = _not_empty(_dataset_rows(data, what), name)
    first = next(rows)
    return list(first[1]), chain([first], rows)


def _of_split(saved: Any, split: str, what: str) -> Any:
    if split not in saved:
        raise UserError("the data set has no such split", given=what, allowed=", ".join(saved))
    return saved[split]


def _dataset_rows(data: Any, what: str) -> Iterator[Row]:
    try:
        for number, row in enumerate(data, start=1):
            yield f"{what}, row {number}", row
    except (OSError, ValueError, RuntimeError) as error:
        raise _unreadable(what, error) from error


def _unreadable(what: str, error: Exception) -> UserError:
    return UserError(
        "the data set cannot be read",
        given=f"{what}: {' '.join(str(error).split())}",
        allowed="a data set's name on the Hugging Face hub, a folder of data files, or one made by save_to_disk",
    )


def _not_empty(rows: Iterator[Row], source: object) -> Iterator[Row]:
    first = next(rows, None)
    if first is None:
        raise UserError("there is no row to read: the file or data set is empty", given=source)
    return chain([first], rows)


def _txt(path: Path) -> tuple[list[str], Iterator[Row]]:
    return ["text"], ((where, {"text": line}) for where, line in _lines(path))


def _jsonl(path: Path) -> tuple[list[str], Iterator[Row]]:
    """Read twice: a column may first appear in the last row."""
    return list(dict.fromkeys(column for _, row in _objects(path) for column in row)), _objects(path)


def _objects(path: Path) -> Iterator[Row]:
    for where, line in _lines(path):
        try:
            row = json.loads(line) if line.strip() else {}
        except json.JSONDecodeError as error:
            raise UserError("a line is not valid JSON", given=f"{where}: {error}") from error
        if not isinstance(row, dict):
            raise UserError(
                "a line is not a JSON object", given=f"{where}: {line[:80]}", allowed='{"text": "...", ...}'
            )
        yield where, row


def _parquet(path: Path) -> tuple[list[str], Iterator[Row]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise UserError("the file is not readable as Parquet", given=f"{path}: {error}") from error
    rows = (row for batch in table.iter_batches(BATCH) for row in batch.to_pylist())
    return table.schema_arrow.names, ((f"{path}, row {number}", row) for number, row in enumerate(rows, start=1))


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines of a UTF-8 file with their places. Only a newline ends a line: texts may hold other separators."""
    start = 0
    with path.open("rb") as file:
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
            text = text.removesuffix("\n").removesuffix("\r")
            yield f"{path}, line {number}", text.removeprefix("\ufeff") if number == 1 else text
            start += len(line)
