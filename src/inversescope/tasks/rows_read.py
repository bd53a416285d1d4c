"""Outcome of reading a file or a data set of texts: rows, cut texts, columns that are no features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


def shown(column: str) -> str:
    """Name of a column in a message; an empty or blank one in quotes."""
    return column if column.strip() else repr(column)


@dataclass(frozen=True)
class RowsRead:
    """Fate of the rows of a file: read, cut, left out.

    Attributes:
        rows: with a text.
        distinct: different inputs that they come to.
        blank: rows left out, because they have no text.
        shortened: texts longer than `max_tokens`.
        max_tokens: longest input, in tokens: as the task says, or as the model can read.
        by_position: a position says where the texts are read; else they are read at their end.
        features: columns that are features.
        left_out: columns that are none although the config leaves the choice open, each with the reason.
    """

    rows: int
    distinct: int
    blank: int
    shortened: int
    max_tokens: int
    by_position: bool
    features: tuple[str, ...]
    left_out: Mapping[str, str]

    @property
    def cut(self) -> str | None:
        """Sentence on the texts that are longer than an input may be; None where there are none."""
        if not self.shortened:
            return None
        effect = (
            f"of such a text, only the last {self.max_tokens} tokens before the position are the input"
            if self.by_position
            else f"such a text is read at its token {self.max_tokens}, not at its end"
        )
        limit = f"{self.max_tokens} tokens (task.max_tokens, or the model's limit)"
        verb = "is" if self.shortened == 1 else "are"
        return f"{self.shortened:,} of {self.rows:,} texts {verb} longer than {limit}: {effect}"

    def record(self) -> dict[str, Any]:
        """As a record of the run, with the sentences."""
        return {**asdict(self), "cut": self.cut, "notes": self.notes}

    @property
    def notes(self) -> list[str]:
        """Sentences for people."""
        inputs = "input" if self.distinct == 1 else "inputs"
        notes = [f"{self.rows:,} texts come to {self.distinct:,} different {inputs}"]
        notes += [] if self.cut is None else [self.cut]
        notes += [f"rows without a text, which are left out: {self.blank:,}"] if self.blank else []
        notes.append(f"features: {', '.join(self.features) or 'none'}")
        if self.left_out:
            columns = "; ".join(f"{shown(name)} ({reason})" for name, reason in self.left_out.items())
            notes.append(f"columns that are no features: {columns}; to take one, name it in task.labels")
        return notes
