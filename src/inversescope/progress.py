"""Progress of work that takes long: how much is done, of how much, and a remark."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any, Protocol, runtime_checkable


@runtime_checkable  # the tests execute the annotations
class Progress(Protocol):
    """Called as work goes on."""

    def __call__(self, done: int, total: int, note: str = "", /) -> None: ...


def silent(done: int, total: int, note: str = "", /) -> None:
    """Progress that nobody watches."""


@contextmanager
def watched(progress: Progress | None, work: str) -> Iterator[Progress]:
    """The progress that is given; with none, a bar in a notebook (taken away at the end), and nothing elsewhere."""
    cell = _notebook_cell() if progress is None else None
    if progress is not None or cell is None:
        yield progress or silent
        return
    from IPython.core.display import HTML

    def show(done: int, total: int, note: str = "", /) -> None:
        words = escape(f"{work}: {done}/{total} {note}")
        cell.update(HTML(f'<progress value="{done}" max="{total}"></progress> {words}'))

    try:
        yield show
    finally:
        cell.update(HTML(""))


def _notebook_cell() -> Any:
    """A part of the output of a notebook's cell that can be changed; None outside of a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if not hasattr(shell, "kernel"):
        return None
    from IPython.display import DisplayHandle

    cell = DisplayHandle()
    cell.display({"text/plain": ""}, raw=True)
    return cell
