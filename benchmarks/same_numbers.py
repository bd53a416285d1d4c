"""Compare two run directories: every Parquet and JSON file, bit for bit, but provenance and what counts seconds.

    python benchmarks/same_numbers.py RUN OTHER [--map RENAMED.toml]

The map lists names that differ in RUN, so that a change of names can be separated from a change of numbers. Paths are
globs of OTHER's files; a value of "" says that there is no such thing in RUN.

    [files]                                      # path in OTHER = path in RUN
    "score/failures.parquet" = "score/worst_targets.parquet"
    [columns."score/*.parquet"]                  # column or key, at any depth
    "source" = "method"
    [values."score/*.parquet"]                   # a text in any column or key
    "wrong site" = "another site"
    [added]                                      # what only RUN has: path = columns or keys; "*" for a whole file
    "score/results.parquet" = ["verdict"]

Exit code 0: the same; 1: a line for each difference.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

# Where and how long a run was made, and hashes of files: not numbers of the method.
LEFT_OUT = ("provenance.json", "*manifest.json", "propose/replies/*")
SECONDS = ("seconds", "training", "answering", "memory", "verified", "sha256", "config_sha256")  # keys of JSON files


class Renamed:
    """Names that differ in the first run (see the module's docstring)."""

    def __init__(self, names: Mapping[str, Any]):
        self._files = names.get("files", {})
        self._columns = names.get("columns", {})
        self._values = names.get("values", {})
        self._added = names.get("added", {})

    def file(self, path: str) -> str:
        """The path in RUN of a file of OTHER; "" where it is gone."""
        return self._files.get(path, path)

    def column(self, path: str, name: str) -> str:
        """The column or key in RUN; "" where it is gone."""
        return self._of(self._columns, path).get(name, name)

    def value(self, path: str, value: object) -> object:
        """A text as RUN has it; of a list, each."""
        if isinstance(value, list):
            return [self.value(path, each) for each in value]
        return self._of(self._values, path).get(value, value) if isinstance(value, str) else value

    def added(self, path: str) -> set[str]:
        """Columns and keys that only RUN has; `*` for a whole file."""
        return {name for pattern, names in self._added.items() if fnmatch(path, pattern) for name in names}

    @staticmethod
    def _of(section: Mapping[str, Mapping[str, str]], path: str) -> dict[str, str]:
        return {old: new for pattern, names in section.items() if fnmatch(path, pattern) for old, new in names.items()}


def differences(run: Path, other: Path, renamed: Renamed) -> Iterator[str]:
    """A line for each file, column, key or value that is not the same."""
    ours, theirs = (_records(folder) for folder in (run, other))
    wanted = {renamed.file(path): path for path in theirs if renamed.file(path)}
    for path in sorted(ours - set(wanted)):
        if "*" not in renamed.added(path):
            yield f"{path}: only in {run}"
    for new, old in sorted(wanted.items()):
        if new not in ours:
            yield f"{old}: not in {run}" + ("" if new == old else f" as {new}")
        elif new.endswith(".parquet"):
            yield from _tables(new, old, pq.read_table(run / new), pq.read_table(other / old), renamed)
        else:
            one, two = json.loads((run / new).read_bytes()), json.loads((other / old).read_bytes())
            yield from _values(new, old, "", one, two, renamed)


def _records(folder: Path) -> set[str]:
    """The run's own Parquet and JSON files; parts that a step has put together are whatever they were."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix in (".parquet", ".json")}
    return {path for path in found if not any(fnmatch(path, pattern) for pattern in LEFT_OUT)}


def _tables(new: str, old: str, one: pa.Table, two: pa.Table, renamed: Renamed) -> Iterator[str]:
    names = {renamed.column(old, name): name for name in two.column_names if renamed.column(old, name)}
    for name in one.column_names:
        if name not in names and name not in renamed.added(new):
            yield f"{new}: column {name} is only in the first"
    if len(one) != len(two):
        yield f"{new}: {len(one)} rows and {len(two)}"
        return
    for name, before in names.items():
        if name not in one.column_names:
            yield f"{new}: no column {name}" + ("" if name == before else f" (was {before})")
            continue
        mine, theirs = one[name].to_pylist(), [renamed.value(old, value) for value in two[before].to_pylist()]
        places = [row for row, (a, b) in enumerate(zip(mine, theirs, strict=True)) if not _same(a, b)]
        if places:
            row = places[0]
            first = f"{mine[row]!r}, {theirs[row]!r}"
            yield f"{new}: {name} differs in {len(places)} of {len(one)} rows, first in {row}: {first}"


def _values(new: str, old: str, where: str, one: Any, two: Any, renamed: Renamed) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(two, dict):
        names = {renamed.column(old, key): key for key in two if renamed.column(old, key)}
        for key in one.keys() - names.keys() - renamed.added(new):
            yield f"{new}: {where}.{key} is only in the first"
        for key, before in names.items():
            if key in SECONDS:
                continue
            if key in one:
                yield from _values(new, old, f"{where}.{key}", one[key], two[before], renamed)
            else:
                yield f"{new}: no {where}.{key}"
    elif isinstance(one, list) and isinstance(two, list):
        if len(one) != len(two):
            yield f"{new}: {where} has {len(one)} items and {len(two)}"
            return
        for place, (mine, theirs) in enumerate(zip(one, two, strict=True)):
            yield from _values(new, old, f"{where}[{place}]", mine, theirs, renamed)
    elif not _same(one, renamed.value(old, two)):
        yield f"{new}: {where} is {one!r} and {two!r}"


def _same(one: object, two: object) -> bool:
    """Equal bit for bit; two NaN are, and 1 is not 1.0."""
    if isinstance(one, float) and isinstance(two, float):
        return one.hex() == two.hex()
    return type(one) is type(two) and one == two


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("--map", type=Path, help="a TOML file: what is called otherwise in RUN")
    asked = parser.parse_args()
    names = tomllib.loads(asked.map.read_text(encoding="utf-8")) if asked.map else {}
    found = list(differences(asked.run, asked.other, Renamed(names)))
    print("\n".join(found) or "the same numbers")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
