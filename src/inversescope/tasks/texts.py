"""Own texts as a task: the prior is the rows of a file or a data set, the features are its label columns.

An input is what comes up to the position that is read. Without one, a text is read where it ends, or where its first
`max_tokens` tokens end; with one, it is read there, and the last `max_tokens` tokens before it are the input. (The
prefix is not counted.) Rows that come to the same input are one input with their joint probability; where their labels
differ, that feature is undecided. `reading` says what became of the rows.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from functools import cached_property
from itertools import islice
from typing import Any, Literal, Self

from pydantic import Field, StrictInt, computed_field, model_validator

from inversescope.bounds import INPUTS, TOKENS
from inversescope.errors import UserError
from inversescope.paths import ConfigPath, NameOrFolder
from inversescope.position import LAST, cut, keep_last, require_whole
from inversescope.tasks.data_sets import read_dataset
from inversescope.tasks.empirical import EmpiricalPrior
from inversescope.tasks.labels import as_label
from inversescope.tasks.registry import register
from inversescope.tasks.rows_read import RowsRead, shown
from inversescope.tasks.task import Labels, TaskConfig, TaskSubject, Tokens
from inversescope.tasks.text_files import read_file

_INDEX = re.compile(r"|Unnamed: \d+|__index_level_\d+__")  # columns of row numbers, as pandas writes them
_KINDS: dict[type, str] = {list: "lists", dict: "objects", bytes: "bytes"}


class TextsConfig(TaskConfig):
    """Own texts: a text file (one text a line), CSV, JSON, Parquet, or a Hugging Face data set."""

    name: Literal["texts"] = Field(
        default="texts",
        description="the task: own texts. The prior is empirical: the rows that are given and nothing else; for any "
        "natural text see `inversescope invert --prior text`",
    )
    path: ConfigPath | None = Field(
        default=None,
        description="file with the texts: .txt with one text a line; or .csv, .tsv, .jsonl, .ndjson, .json (an array "
        "of objects) or .parquet with a text column; all but the last may be packed, such as .csv.gz",
    )
    dataset: NameOrFolder | None = Field(
        default=None,
        description="data set instead of a file (needs the extra `datasets`): its name on the Hugging Face hub, or a "
        "folder of data files or of `save_to_disk`",
    )
    subset: str | None = Field(default=None, description="configuration of the data set, if it has several")
    split: str = Field(default="train", description="split of the data set")
    limit: int | None = Field(
        default=None, ge=1, le=INPUTS, description="number of rows that are read, from the first; not set: all"
    )
    column: str = Field(default="text", description="column with the text, or with a conversation (a list of messages)")
    labels: tuple[str, ...] | None = Field(
        default=None,
        description="columns that are features; `[]`: none; not set: all but those of the text and its position, row "
        "numbers, columns in which no value comes twice, and columns of lists or objects",
    )
    max_tokens: int = Field(
        default=64,
        ge=1,
        le=TOKENS,
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
class Texts(EmpiricalPrior):
    """The task of one file or data set for one subject's tokenizer.

    Attributes:
        reading: what became of the rows: blank ones, cut texts, columns that are no features.

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
        labels = _LabelColumns(config, columns)
        subject.encode("a")  # a tokenizer that cannot be read is no fault of a row
        self.cut = config.cut
        self._blank = self._shortened = 0
        longest = getattr(subject, "longest", None)  # that the model can read
        self._most = config.max_tokens if longest is None else min(config.max_tokens, longest - len(subject.prefix))
        inputs: list[Tokens] = []
        self._labels: dict[Tokens, tuple[str | None, ...]] = {}
        # Every occurrence of a token is one and the same object: a quarter of the memory.
        same: dict[int, int] = {}
        for where, row in islice(rows, config.limit):
            kept = self._read(config, subject, where, row)
            if kept is None:
                self._blank += 1
                continue
            kept = tuple(map(same.setdefault, kept, kept))
            inputs.append(kept)
            of_row = labels.read(where, row)
            first = self._labels.setdefault(kept, of_row)
            if first != of_row:
                self._labels[kept] = tuple(a if a == b else None for a, b in zip(first, of_row, strict=True))
        if not inputs:
            raise UserError("no row holds a text", given=f"{config.path or config.dataset}: {self._blank} blank rows")
        super().__init__(inputs)
        places = [place for place, name in enumerate(labels.names) if name not in labels.left_out]
        self.features = tuple(labels.names[place] for place in places)
        self._labels = {tokens: tuple(every[place] for place in places) for tokens, every in self._labels.items()}
        self.reading = RowsRead(
            rows=self.rows,
            distinct=len(self._counts),
            blank=self._blank,
            shortened=self._shortened,
            max_tokens=self._most,
            by_position=config.position is not None or config.position_column is not None,
            features=self.features,
            left_out=labels.left_out,
        )

    def _read(self, config: TextsConfig, subject: TaskSubject, where: str, row: dict[str, Any]) -> Tokens | None:
        """The input of a row; None if there is no text."""
        text, limit = row.get(config.column), len(subject.prefix) + self._most
        if text is None or (isinstance(text, str) and not text.strip()):
            return None
        if not isinstance(text, str | list):
            raise UserError("the text column holds something that is not text", given=f"{where}: {text!r}")
        position = config.position if config.position_column is None else _position(row, config.position_column, where)
        try:
            whole = cut(subject, text, LAST if position is None else position)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        self._shortened += len(whole) > limit
        return whole[:limit] if position is None else keep_last(whole, subject.prefix, limit)

    @cached_property
    def fingerprint(self) -> str:
        """64 hexadecimal digits: a hash of every row's input, and of the labels."""
        digest = hashlib.sha256(json.dumps(self.features).encode())
        for tokens in self._inputs:
            digest.update(f"{self._labels[tokens]} {tokens}".encode())
        return digest.hexdigest()

    def labels(self, tokens: Sequence[int]) -> Labels:
        """The labels of an input of the file; every feature undecided for any other token sequence."""
        labels = self._labels.get(tuple(tokens), (None,) * len(self.features))
        return dict(zip(self.features, labels, strict=True))


class _LabelColumns:
    """The columns that are features, and the labels in them.

    Attributes:
        names: columns that are read.
    """

    def __init__(self, config: TextsConfig, columns: list[str]):
        taken = [config.column] if config.position_column is None else [config.column, config.position_column]
        wanted = [*taken, *(config.labels or ())]
        if missing := [name for name in wanted if name not in columns]:
            remedy = 'the column of the texts is task.column: column = "..."' if missing[0] == config.column else None
            raise UserError(
                "there is no such column",
                given=f"{missing[0]} of {config.path or config.dataset}",
                allowed=", ".join(shown(name) for name in columns) or "none",
                remedy=remedy,
            )
        if len(set(wanted)) < len(wanted):
            raise UserError("a column is named twice", given=", ".join(wanted))
        self._open = config.labels is None  # which columns are features is for their values to say
        self.names = [name for name in columns if name not in taken] if config.labels is None else list(config.labels)
        for name in self.names:
            require_whole(name)
        self._unfit = {name: "row numbers" for name in self.names if self._open and _INDEX.fullmatch(name)}
        # The values of each column, until one comes twice.
        self._seen: dict[str, set[str]] = {name: set() for name in self.names} if self._open else {}

    def read(self, where: str, row: dict[str, Any]) -> tuple[str | None, ...]:
        """The labels of a row, one a column."""
        return tuple(self._label(row.get(name), where, name) for name in self.names)

    @property
    def left_out(self) -> dict[str, str]:
        """Columns that are no features after all, with the reason."""
        alone = {name: "no value comes twice" if values else "no value" for name, values in self._seen.items()}
        return {name: (alone | self._unfit)[name] for name in self.names if name in alone or name in self._unfit}

    def _label(self, value: Any, where: str, name: str) -> str | None:
        if name in self._unfit:
            return None
        try:
            label = as_label(value)
        except TypeError as error:
            if self._open:
                self._unfit[name] = f"holds {_KINDS.get(type(value), 'values that are no labels')}"
                return None
            raise UserError(
                "a label column holds something that is not a label",
                given=f"{where}: {name} = {value!r}",
                allowed="text, number, date, true, false or null",
                remedy="name the columns that are labels in the config's `labels`",
            ) from error
        if label is not None:
            self._look(label, where, name)
        return label

    def _look(self, label: str, where: str, name: str) -> None:
        try:
            require_whole(label)
        except UserError as error:
            raise UserError(f"{where}, column {name}: {error}") from error
        values = self._seen.get(name)
        if values is not None and label in values:
            del self._seen[name]
        elif values is not None:
            values.add(label)


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
