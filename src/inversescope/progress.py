"""How far a step is, on the terminal: a bar, or a line now and then where there is no terminal to draw one on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

SECONDS = 60  # between two lines in a log

# What is done, of how much, and a remark.
Show = Callable[[int, int, str], None]


@contextmanager
def shown(step: str, screen: Console) -> Iterator[Show]:
    """What to call as the step goes on."""
    if not screen.is_terminal:
        yield _lines(step, screen)
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn(f"{step:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=screen) as bar:
        task = bar.add_task(step, total=None, note="")
        yield lambda done, total, note: bar.update(task, completed=done, total=total, note=note)
        if bar.tasks[task].total is None:  # a step that did not say how far it was
            bar.update(task, completed=1, total=1)


def _lines(step: str, screen: Console) -> Show:
    """One line at the end of the step, and one for every minute before it."""
    last, ended = time.monotonic(), False

    def show(done: int, total: int, note: str) -> None:
        nonlocal last, ended
        if not ended and (done == total or time.monotonic() - last > SECONDS):
            last, ended = time.monotonic(), done == total
            screen.print(f"{step:<10} {done}/{total} {note}", soft_wrap=True, markup=False)

    return show
