"""Progress of work that takes long: how much is done, of how much, and a remark."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable  # the tests execute the annotations
class Progress(Protocol):
    """Called as work goes on."""

    def __call__(self, done: int, total: int, note: str = "", /) -> None: ...


def silent(done: int, total: int, note: str = "", /) -> None:
    """Progress that nobody watches."""
