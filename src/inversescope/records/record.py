"""A file of a run directory described: its path, its rows, and the type and meaning of each column or key.

A writer makes its table with `Table.of`, which refuses other columns, other types, and nulls where none may be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

TYPES = {
    "string": pa.string(),
    "bool": pa.bool_(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "list of int32": pa.list_(pa.int32()),
    "list of float64": pa.list_(pa.float64()),
    "list of string": pa.list_(pa.string()),
}
LABEL = "label."  # prefix of the columns that hold a feature's labels
ENDS = ("", "_low", "_high")  # the columns of an estimate: its value, and the ends of its 95% interval
# Parts of paths that differ from file to file.
PARTS = {
    "NNNNN": r"\d{5}", "HASH": r"[0-9a-f]{64}", "SHORT": r"[0-9a-f]{12}", "SPLIT": "(train|pool|target)",
    "ROW": r"\d{7}", "METHOD": r"[\w.,-]+",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column of a table, or a key of a JSON file (whose type is empty)."""

    name: str
    type: str
    nullable: bool
    meaning: str


Group = tuple[Column, ...]  # columns of one meaning


def column(names: str, type: str, meaning: str) -> Group:
    """Columns of one type and meaning. `names` are separated by ", "; a "?" behind the type allows null."""
    return tuple(Column(name, type.rstrip("?"), type.endswith("?"), meaning) for name in names.split(", "))


def estimate(name: str, meaning: str) -> Group:
    """The three columns of an estimate; null where it is undefined."""
    return tuple(Column(f"{name}{end}", "float64", True, meaning) for end in ENDS)


def key(names: str, meaning: str) -> Group:
    """Keys of a JSON file."""
    return column(names, "", meaning)


SEAL = key("sha256", "SHA-256 of the text before this key")
RESOLUTION = "N: one input in N of the prior remains at this h; null where the bandwidth was set itself"
LEVEL = (column("resolution", "float64?", RESOLUTION), column("bandwidth", "float64", "h"))
SITE = column("site", "string", "the site")
SITE_PARTS = (
    column("site, point", "string", "the site's address, and its point"),
    column("layer", "int32?", "its layer; null where a point has none, and where several sites are read as one"),
    column("head", "int32?", "its head; null where a point has none"),
)


@dataclass(frozen=True)
class Record:
    """A file, or files of one pattern, by its path in the run directory.

    Attributes:
        about: its content; of a table, one row.
        always: whether a finished folder has it.
    """

    path: str
    about: str
    always: bool = field(default=True, kw_only=True)

    @property
    def name(self) -> str:
        """The name without its folder."""
        return self.path.rsplit("/", 1)[-1]

    def describes(self, path: str) -> bool:
        """True if a path in the run directory is one of these files."""
        pattern = re.escape(self.path)
        for name, expression in PARTS.items():
            pattern = pattern.replace(name, expression)
        return re.fullmatch(pattern, path) is not None


@dataclass(frozen=True)
class Document(Record):
    """A JSON file, an object of these keys; or a list of such objects."""

    groups: tuple[Group, ...] = ()

    @property
    def names(self) -> list[str]:
        """The keys, in order."""
        return [key.name for group in self.groups for key in group]

    def of(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        """The value itself, if it has these keys and no others."""
        _require(self.path, self.names, value)
        return value


@dataclass(frozen=True)
class Table(Record):
    """A Parquet table.

    Attributes:
        labels: whether a column for each feature stands behind the others.
    """

    groups: tuple[Group, ...] = ()
    labels: bool = False

    @property
    def columns(self) -> list[Column]:
        """Every column but the labels, in order."""
        return [column for group in self.groups for column in group]

    @property
    def names(self) -> list[str]:
        """The name of every column but the labels, in order."""
        return [column.name for column in self.columns]

    def schema(self, features: Iterable[str] = ()) -> pa.Schema:
        """The Arrow schema, with a column of labels for each of these features."""
        assert self.labels or not list(features), f"{self.path} has no labels"
        labels = [(f"{LABEL}{feature}", pa.string()) for feature in features]
        return pa.schema([*((column.name, TYPES[column.type]) for column in self.columns), *labels])

    def of(self, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
        """A table of these rows; what a row lacks is null there. Labels are the keys that begin with `label.`."""
        rows = list(rows)
        given = dict.fromkeys(name for row in rows for name in row)
        if rows:
            _require(self.path, [*self.names, *self._labels(given)], given)
        return self.checked(pa.Table.from_pylist(rows, schema=self.schema(self._features(given))))

    def of_columns(self, columns: Mapping[str, Any]) -> pa.Table:
        """A table of these columns."""
        _require(self.path, [*self.names, *self._labels(columns)], columns)
        return self.checked(pa.table(dict(columns), schema=self.schema(self._features(columns))))

    def checked(self, table: pa.Table) -> pa.Table:
        """The table itself, if it has these columns in this order, and nulls only where they may be."""
        expected = self.schema(self._features(table.column_names))
        assert table.schema.equals(expected), f"{self.path}: columns\n{table.schema}\ninstead of\n{expected}"
        empty = [column.name for column in self.columns if not column.nullable and table[column.name].null_count]
        assert not empty, f"{self.path}: null in {', '.join(empty)}"
        return table

    def _labels(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if self.labels and name.startswith(LABEL)]

    def _features(self, names: Iterable[str]) -> list[str]:
        return [name.removeprefix(LABEL) for name in self._labels(names)]


def _require(path: str, expected: Sequence[str], given: Iterable[str]) -> None:
    """Both name the same columns or keys, in any order."""
    missing, unknown = sorted(set(expected) - set(given)), sorted(set(given) - set(expected))
    assert not missing and not unknown, f"{path}: without {missing}, and with {unknown}, which its record does not have"


@dataclass(frozen=True)
class Room:
    """A folder of the run directory.

    Attributes:
        folder: its name; empty for the run directory itself.
        about: Markdown; the first paragraph of its section in docs/run-directory.md.
        on_request: whether it is there only after a command that is no step.
    """

    folder: str
    about: str
    records: tuple[Record, ...]
    on_request: bool = False


def table(path: str, row: str, *groups: Group, labels: bool = False, always: bool = True) -> Table:
    """A table; `row` describes one row."""
    return Table(path, row, groups, labels, always=always)


def document(path: str, about: str, *groups: Group, always: bool = True) -> Document:
    """A JSON file."""
    return Document(path, about, groups, always=always)
