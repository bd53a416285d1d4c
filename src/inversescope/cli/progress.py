"""Progress of a step, on the terminal: a bar, or a line now and then where there is no terminal to draw one on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from inversescope.progress import Progress

SECONDS = 60  # between two lines in a log


@contextmanager
def shown(step: str, screen: Console) -> Iterator[Progress]:
    """Function to call as the step goes on."""
    if not screen.is_terminal:
        yield _lines(step, screen)
        return
    from rich import progress as bars
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
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
    with bars.Progress(*columns, console=screen) as bar:
        task = bar.add_task(step, total=None, note="")
        yield lambda done, total, note="": bar.update(task, completed=done, total=total, note=note)
        if bar.tasks[task].total is None:  # a step that did not say how far it was
            bar.update(task, completed=1, total=1)


def _lines(step: str, screen: Console) -> Progress:
    """One line at the end of the step, one for every minute before it, and one at its start if there is a note."""
    last, begun, ended = time.monotonic(), False, False

    def show(done: int, total: int, note: str = "") -> None:
        nonlocal last, begun, ended
        starts = done == 0 and not begun
        if not ended and (starts or done == total or time.monotonic() - last > SECONDS):
            last, begun, ended = time.monotonic(), True, done == total
            screen.print(f"{step:<10} {done}/{total} {note}", soft_wrap=True, markup=False)

    return show
