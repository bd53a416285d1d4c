"""Figures of a part: of so many trials, how many ended as they should, and how much memory one had."""

from __future__ import annotations

import argparse
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        case: command or kind of input.
        tried: number of trials.
        held: trials that ended as they should.
        wrong: the first trials that did not, in words.
        note: what else was measured.
        peak: largest resident memory of a trial, in MB; None: not measured.
    """

    case: str
    tried: int
    held: int
    wrong: tuple[str, ...] = ()
    note: str = ""
    peak: int | None = None


def megabytes(usage: resource.struct_rusage) -> int:
    """Largest resident memory of a process, in MB."""
    return usage.ru_maxrss // (1024 if sys.platform == "linux" else 1 << 20)


def forget_peak() -> None:
    """Let the largest resident memory of this process begin anew, where the system can do that (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """Largest resident memory of this process since then, in MB."""
    return megabytes(resource.getrusage(resource.RUSAGE_SELF))


@dataclass(frozen=True)
class Part:
    """A part of the figures.

    Attributes:
        about: one sentence: what is done, and how it should end.
        options: adds the sizes of this part to a parser.
        measure: the figures, as they come; the folder is the part's own, and empty.
    """

    about: str
    options: Callable[[argparse.ArgumentParser], object]
    measure: Callable[[Path, argparse.Namespace], Iterator[Figure]]
