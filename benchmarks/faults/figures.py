"""Figures of a part: of so many trials, how many ended as they should."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
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
    """

    case: str
    tried: int
    held: int
    wrong: tuple[str, ...] = ()
    note: str = ""


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
