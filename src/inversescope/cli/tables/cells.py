"""Numbers and texts as a cell of a table shows them; undefined is a dash."""

from __future__ import annotations

import math
from difflib import SequenceMatcher

from rich.markup import escape

from inversescope.stats.intervals import Estimate


def number(value: float | None) -> str:
    """To two digits."""
    return "–" if value is None else f"{value:.2f}"


def share(value: float | None) -> str:
    """A number up to 1 in three characters, or with a sign in four."""
    return "–" if value is None else "1.0" if value >= 0.995 else f"{value:.2f}".replace("0.", ".", 1)


def interval(estimate: Estimate) -> str:
    """A value with its interval, if it has one."""
    value, *ends = (number(None if math.isnan(each) else each) for each in estimate)
    return value if math.isnan(estimate.low) else f"{value} \\[{' '.join(ends)}]"


def recorded(row: dict, name: str) -> str:
    """The same of a record's three columns."""
    value, low, high = (number(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    return f"{value} \\[{low} {high}]"


def small(value: float | None) -> str:
    """A number from 0 to 1 of which only matters how close to 0 it is, in four characters."""
    return "<.01" if value is not None and value < 0.01 else share(value)


def estimated(row: dict, name: str = "fcr") -> str:
    """The same in fewer characters, of what lies between 0 and 1."""
    value, low, high = (share(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    return value if row[f"{name}_low"] is None else f"{value} \\[{low} {high}]"


def marked(source: str, text: str) -> str:
    """A text, with the words in bold that its source does not have there."""
    old, new = source.split(), text.split()
    parts = []
    for kind, _, _, start, end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        words = escape(" ".join(new[start:end]))
        if words:
            parts.append(words if kind == "equal" else f"[bold]{words}[/]")
    return " ".join(parts)
