"""Own texts as a task: the prior is the rows of a file or a data set, the features are its label columns.

An input is what comes up to the position that is read. Without one, a text is read where it ends, or where its first
`max_tokens` tokens end; with one, it is read there, and the last `max_tokens` tokens before it are the input. (The
prefix is not counted.) Rows that come to the same input are one input with their joint probability; where their labels
differ, that feature is undecided.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self

from numpy.random import Generator
from pydantic import Field, PositiveInt, StrictInt, computed_field, model_validator

from inversescope.errors import UserError
from inversescope.position import LAST, cut, keep_last
from inversescope.tasks.registry import register
from inversescope.tasks.task import Labels, TaskConfig, TaskSubject, Tokens
from inversescope.tasks.text_files import read_dataset, read_file


class TextsConfig(TaskConfig):
    """Own texts: a text file (one text a line), JSON lines, Parquet, or a Hugging Face data set."""

    name: Literal["texts"] = Field(default="texts", description="the task: own texts")
    path: Path | None = Field(
        default=None,
        description="file with the texts: .txt with one text a line, or .jsonl or .parquet with a text column",
    )
    dataset: str | None = Field(
        default=None,
        description="data set instead of a file (needs the extra `datasets`): its name on the Hugging Face hub, or a "
        "folder of data files or of `save_to_disk`",
    )
    subset: str | None = Field(default=None, description="configuration of the data set, if it has several")
    split: str = Field(default="train", description="split of the data set")
    limit: PositiveInt | None = Field(
        default=None, description="number of rows that are read, from the first; not set: all"
    )
    column: str = Field(default="text", description="column with the text, or with a conversation (a list of messages)")
    labels: tuple[str, ...] = Field(
        default=(), description="columns that are features; `[]`: all but those of the text and its position"
    )
    max_tokens: PositiveInt = Field(
        default=64,
        description="number of tokens to which a longer text is cut: the first ones, or the last ones before the "
        "position if one is given",
    )
    position: StrictInt | str | None = Field(
        default=None,
        description="token at which every text is read: its index, `last`, a piece of the text, or a role and its turn "
        "(`user:-1`); not set: the end of the text, or of its first `max_tokens` tokens",
    )
    position_column: str | None = Field(default=None, description="column with a position for each text of its own")

    @computed_field
    @property
    def cut(self) -> str:
        """End of the inputs, in words."""
        if self.position_column is not None:
            return f"the position in column {self.position_column}"
        return "end of text" if self.position is None else f"position {self.position}"

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.dataset is None):
            raise ValueError("either path or dataset says where the texts are")
        if self.path is not None and {"subset", "split"} & self.model_fields_set:
            raise ValueError("subset and split belong to a dataset, and path is given")
        if self.position is not None and self.position_column is not None:
            raise ValueError("either position or position_column says where the texts are read")
        return self


@register(TextsConfig)
class Texts:
    """The task of one file or data set for one subject's tokenizer.

    `blank` rows (no text, or nothing but white space) were skipped; `shortened` ones were cut to `max_tokens`.

    Raises:
        UserError: the source is missing, unreadable, not UTF-8 or without a text; a column is missing or holds the
            wrong kind of value; a text does not have the position that is named.
    """

    name = "texts"

    def __init__(self, config: TextsConfig, subject: TaskSubject):
        if config.path is not None:
            columns, rows = read_file(config.path)
        else:
            assert config.dataset is not None
            columns, rows = read_dataset(config.dataset, config.subset, config.split)
        self.features = _features(config, columns)
        self.cut = config.cut
        self.blank = self.shortened = 0
        self._inputs: list[Tokens] = []
        self._labels: dict[Tokens, tuple[str | None, ...]] = {}
        # Every occurrence of a token is one and the same object: a quarter of the memory.
        same: dict[int, int] = {}
        for where, row in islice(rows, config.limit):
            kept = self._read(config, subject, where, row)
            if kept is None:
                self.blank += 1
                continue
            kept = tuple(map(same.setdefault, kept, kept))
            self._inputs.append(kept)
            labels = tuple(_label(row.get(name), where, name) for name in self.features)
            first = self._labels.setdefault(kept, labels)
            if first != labels:
                self._labels[kept] = tuple(a if a == b else None for a, b in zip(first, labels, strict=True))
        if not self._inputs:
            raise UserError("no row holds a text", given=f"{config.path or config.dataset}: {self.blank} blank rows")
        self._counts = Counter(self._inputs)
        self.rows = len(self._inputs)

    def _read(self, config: TextsConfig, subject: TaskSubject, where: str, row: dict[str, Any]) -> Tokens | None:
        """The input of a row; None if there is no text."""
        text, limit = row.get(config.column), len(subject.prefix) + config.max_tokens
        if text is None or (isinstance(text, str) and not text.strip()):
            return None
        if not isinstance(text, str | list):
            raise UserError("the text column holds something that is not text", given=f"{where}: {text!r}")
        position = config.position if config.position_column is None else _position(row, config.position_column, where)
        try:
            whole = cut(subject, text, LAST if position is None else position)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        self.shortened += len(whole) > limit
        return whole[:limit] if position is None else keep_last(whole, subject.prefix, limit)

    def draw(self, n: int, rng: Generator) -> list[Tokens]:
        """The inputs of `n` rows, drawn without replacement: as many as there are rows gives every row once.

        Raises:
            UserError: `n` is more than there are rows.
        """
        if n > len(self._inputs):
            raise UserError(
                "more inputs are asked for than there are texts",
                given=n,
                allowed=f"up to {len(self._inputs)} ({len(self._counts)} of them distinct)",
                remedy="ask for fewer inputs or add texts",
            )
        return [self._inputs[row] for row in rng.permutation(len(self._inputs))[:n]]

    def labels(self, tokens: Sequence[int]) -> Labels:
        """The labels of an input of the file; every feature undecided for any other token sequence."""
        labels = self._labels.get(tuple(tokens), (None,) * len(self.features))
        return dict(zip(self.features, labels, strict=True))

    def log_prior(self, tokens: Sequence[int]) -> float:
        """ln P(x) in nats: the share of rows that are this input; -inf for any other token sequence."""
        count = self._counts[tuple(tokens)]
        return math.log(count / len(self._inputs)) if count else -math.inf

    def enumerate(self) -> Iterator[tuple[Tokens, float]]:
        """Every distinct input with its probability P(x)."""
        for tokens, count in self._counts.items():
            yield tokens, count / len(self._inputs)

    def contrast(self, tokens: Sequence[int]) -> None:
        """None: texts have no right next token."""
        return None

    def accuracy(self, subject: TaskSubject, n: int, rng: Generator) -> None:
        """None: texts have no right answer."""
        return None


def _features(config: TextsConfig, columns: list[str]) -> tuple[str, ...]:
    taken = [config.column] if config.position_column is None else [config.column, config.position_column]
    for wanted in (*taken, *config.labels):
        if wanted not in columns:
            raise UserError(
                "there is no such column",
                given=f"{wanted} of {config.path or config.dataset}",
                allowed=", ".join(columns) or "none",
            )
    if len({*taken, *config.labels}) < len([*taken, *config.labels]):
        raise UserError("a column is named twice", given=", ".join([*taken, *config.labels]))
    return config.labels or tuple(column for column in columns if column not in taken)


def _position(row: dict[str, Any], column: str, where: str) -> int | str | None:
    """Position that a row names; None if it names none."""
    value = row.get(column)
    if isinstance(value, float):  # a column of whole numbers with gaps
        value = None if math.isnan(value) else int(value) if value.is_integer() else value
    if isinstance(value, bool | float) or not isinstance(value, int | str | None):
        raise UserError(
            "the position column holds something that is not a position",
            given=f"{where}: {column} = {value!r}",
            allowed="an index, `last`, a piece of the text, a role and its turn, or null",
        )
    return value


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
