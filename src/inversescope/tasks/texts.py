"""Own texts as a task: the prior is the file's rows, the features are its label columns.

An input is a text's first `max_tokens` tokens (the prefix is not counted); the cut is where it ends. Rows that come to
the same input are one input with their joint probability; where their labels differ, that feature is undecided.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from numpy.random import Generator
from pydantic import BaseModel, ConfigDict, Field

from inversescope.errors import UserError
from inversescope.tasks.task import Labels, TaskSubject, Tokens

Row = tuple[str, dict[str, Any]]  # where it stands in the file, for messages; column -> value


class TextsConfig(BaseModel):
    """Own texts: a text file (one text a line), JSON lines or Parquet."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["texts"] = Field(default="texts", description="the task: own texts")
    path: Path = Field(description="a .txt file with one text a line, or a .jsonl or .parquet file with a text column")
    column: str = Field(default="text", description="the column that holds the text (.jsonl and .parquet)")
    labels: tuple[str, ...] = Field(
        default=(), description="the columns that are features; empty: all but the text column"
    )
    max_tokens: int = Field(
        default=64, ge=1, description="longer texts are cut to their first tokens; the prefix is not counted"
    )


class Texts:
    """The task of one file for one subject's tokenizer.

    `blank` rows (no text, or nothing but white space) were skipped; `shortened` ones were cut to `max_tokens`.

    Raises:
        UserError: the file is missing, unreadable, not UTF-8 or without a text; a column is missing or holds the wrong
            kind of value.
    """

    name = "texts"
    cut = "end of text"

    def __init__(self, config: TextsConfig, subject: TaskSubject):
        columns, rows = _read(config.path)
        self.features = _features(config, columns)
        self.blank = self.shortened = 0
        self._inputs: list[Tokens] = []
        self._labels: dict[Tokens, Labels] = {}
        for where, row in rows:
            text = row.get(config.column)
            if text is not None and not isinstance(text, str):
                raise UserError("the text column holds something that is not text", given=f"{where}: {text!r}")
            tokens = tuple(subject.encode(text)) if text and text.strip() else subject.prefix
            kept = tokens[: len(subject.prefix) + config.max_tokens]
            if len(kept) == len(subject.prefix):
                self.blank += 1
                continue
            self.shortened += kept != tokens
            self._inputs.append(kept)
            labels = {name: _label(row.get(name), where, name) for name in self.features}
            known = self._labels.setdefault(kept, labels)
            self._labels[kept] = {name: value if known[name] == value else None for name, value in labels.items()}
        if not self._inputs:
            raise UserError("the file holds no text", given=f"{config.path}: {self.blank} blank rows")
        self._counts = Counter(self._inputs)
        self.rows = len(self._inputs)

    def draw(self, n: int, rng: Generator) -> list[Tokens]:
        """The inputs of `n` rows, drawn without replacement: as many as there are rows gives every row once.

        Raises:
            UserError: `n` is more than there are rows.
        """
        if n > len(self._inputs):
            raise UserError(
                "more inputs are asked for than the file has texts",
                given=n,
                allowed=f"up to {len(self._inputs)} ({len(self._counts)} of them distinct)",
                remedy="ask for fewer inputs or add texts",
            )
        return [self._inputs[row] for row in rng.permutation(len(self._inputs))[:n]]

    def labels(self, tokens: Sequence[int]) -> Labels:
        """The labels of an input of the file; every feature undecided for any other token sequence."""
        return dict(self._labels.get(tuple(tokens)) or dict.fromkeys(self.features))

    def log_prior(self, tokens: Sequence[int]) -> float:
        """ln P(x) in nats: the share of rows that are this input; -inf for any other token sequence."""
        count = self._counts[tuple(tokens)]
        return math.log(count / len(self._inputs)) if count else -math.inf

    def enumerate(self) -> Iterator[tuple[Tokens, float]]:
        """Every distinct input with its probability P(x)."""
        for tokens, count in self._counts.items():
            yield tokens, count / len(self._inputs)

    def accuracy(self, subject: TaskSubject, n: int, rng: Generator) -> None:
        """None: texts have no right answer."""
        return None


def _features(config: TextsConfig, columns: list[str]) -> tuple[str, ...]:
    for wanted in (config.column, *config.labels):
        if wanted not in columns:
            raise UserError(
                "the file has no such column", given=f"{wanted} of {config.path}", allowed=", ".join(columns) or "none"
            )
    if config.column in config.labels or len(set(config.labels)) < len(config.labels):
        raise UserError("a label column is the text column or is named twice", given=", ".join(config.labels))
    return config.labels or tuple(column for column in columns if column != config.column)


def _label(value: object, where: str, name: str) -> str | None:
    if value is None or value != value:  # null, or NaN, which stands for it in numeric columns
        return None
    if isinstance(value, str | int | float):
        return str(value)
    raise UserError(
        "a label column holds something that is not a label",
        given=f"{where}: {name} = {value!r}",
        allowed="text, number, true, false or null",
        remedy="name the columns that are labels in the config's `labels`",
    )


def _read(path: Path) -> tuple[list[str], list[Row]]:
    """The columns and the rows of a file."""
    readers = {".txt": _read_txt, ".jsonl": _read_jsonl, ".parquet": _read_parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UserError("texts are not read from this kind of file", given=path, allowed=", ".join(readers))
    if not path.is_file():
        raise UserError("there is no such file", given=path)
    columns, rows = reader(path)
    if not rows:
        raise UserError("the file is empty", given=path)
    return columns, rows


def _read_txt(path: Path) -> tuple[list[str], list[Row]]:
    return ["text"], [(where, {"text": line}) for where, line in _lines(path)]


def _read_jsonl(path: Path) -> tuple[list[str], list[Row]]:
    rows: list[Row] = []
    for where, line in _lines(path):
        try:
            row = json.loads(line) if line.strip() else {}
        except json.JSONDecodeError as error:
            raise UserError("a line is not valid JSON", given=f"{where}: {error}") from error
        if not isinstance(row, dict):
            raise UserError(
                "a line is not a JSON object", given=f"{where}: {line[:80]}", allowed='{"text": "...", ...}'
            )
        rows.append((where, row))
    return list(dict.fromkeys(column for _, row in rows for column in row)), rows


def _read_parquet(path: Path) -> tuple[list[str], list[Row]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise UserError("the file is not readable as Parquet", given=f"{path}: {error}") from error
    return table.column_names, [(f"{path}, row {number}", row) for number, row in enumerate(table.to_pylist(), start=1)]


def _lines(path: Path) -> list[tuple[str, str]]:
    """The lines of a UTF-8 file with where they stand. Only a newline ends a line: texts may hold other separators."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            "the file is not UTF-8",
            given=f"{path}, line {line}, byte {error.start} of the file: {data[error.start : error.end]!r}",
            remedy="save it as UTF-8",
        ) from error
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return [(f"{path}, line {number}", line.removesuffix("\r")) for number, line in enumerate(lines, start=1)]
