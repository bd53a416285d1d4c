"""Numbers and texts as cells of a terminal table: `verdicts.wording` with Rich's markup escaped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape

from inversescope.stats.intervals import Estimate
from inversescope.verdicts import wording


def interval(estimate: Estimate) -> str:
    """A value with its interval, if it has one."""
    return (
        wording.number(estimate.value) if wording.undefined(estimate.low) else escape(wording.interval(*estimate, " "))
    )


def recorded(row: Mapping[str, Any], name: str) -> str:
    """Three columns of a record as an interval."""
    return escape(wording.of_row(row, name, " "))


def estimated(row: Mapping[str, Any], name: str = "fcr") -> str:
    """The same in fewer characters, of a value from 0 to 1."""
    return escape(wording.short_of_row(row, name))


def marked(source: str | None, sample: str) -> str:
    """A sample on one line, its words that differ from the source's in bold; none where there is no source."""
    texts = (wording.visible(text) for text in (sample if source is None else source, sample))
    old, new = (" ".join(text.split()) for text in texts)
    return wording.marked(old, new, lambda words: f"[bold]{escape(words)}[/]", escape)
