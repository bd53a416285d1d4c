"""Answers on a screen, whole: of a table nothing is cut off, however narrow the terminal is."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table

WIDEST = 300  # columns that a table may take where the terminal has fewer


def print_answers(*answers: RenderableType) -> None:
    """Print tables, and text beside them. A table whose numbers do not fit into the terminal is wider than it; words
    that are longer than their column are broken.
    """
    console = Console(highlight=False)
    terminal = console.width
    for part in _parts(answers):
        if isinstance(part, Table):
            for column in part.columns:
                column.overflow = "fold"
            console.width = max(terminal, _needed(console, part))
        console.print(part)
        console.width = terminal


def _needed(console: Console, table: Table) -> int:
    """The least width in which no word is broken, and no column that is not to be wrapped."""
    wide = console.options.update(max_width=WIDEST)
    least = Measurement.get(console, wide, table).minimum  # by words
    for column in table.columns:
        if column.no_wrap:
            cells = [Measurement.get(console, wide, cell) for cell in (column.header, *column.cells)]
            least += max(cell.maximum for cell in cells) - max(cell.minimum for cell in cells)
    return min(least, WIDEST)


def _parts(answers: tuple[RenderableType, ...]) -> Iterator[RenderableType]:
    for answer in answers:
        if isinstance(answer, Group):
            yield from _parts(tuple(answer.renderables))
        else:
            yield answer
