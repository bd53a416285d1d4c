"""Numbers, intervals and differing words as people read them, in report, terminal and notebook; undefined is a dash."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import groupby
from typing import Any
from unicodedata import category
from unicodedata import name as unicode_name

from inversescope.verdicts.thresholds import SMALLEST_Q

DASH, MINUS, SPACE = "\N{EN DASH}", "\N{MINUS SIGN}", "\N{NO-BREAK SPACE}"
_UNNAMED = {"\n": "newline", "\t": "tab", "\r": "return"}  # Unicode has no name for these
_EMPTY_LETTERS = "\u115f\u1160\u2800\u3164\uffa0"  # letters and signs that leave no ink
_WORD = re.compile(r"\s*\w+|\s*[^\w\s]|\s+")


def number(value: float | None, digits: int = 2) -> str:
    """`0.86`, with a true minus sign; zero has no sign."""
    return DASH if value is None or value != value else _rounded(value, f".{digits}f")


def signed(value: float) -> str:
    """`+0.05`; zero has no sign."""
    return _rounded(value, "+.2f")


def _rounded(value: float, form: str) -> str:
    written = format(value, form)
    return written.replace("-", MINUS) if float(written) else written.lstrip("+-")


def interval(value: float | None, low: float | None, high: float | None, between: str = ", ") -> str:
    """`0.86 [0.78, 0.93]`."""
    if undefined(value):
        return DASH
    if undefined(low) or undefined(high):
        return f"{number(value)} (no interval)"
    return f"{number(value)} [{number(low)}{between}{number(high)}]"


def of_row(row: Mapping[str, Any], name: str, between: str = ", ") -> str:
    """Three columns of a record as an interval."""
    return interval(row[name], row[f"{name}_low"], row[f"{name}_high"], between)


def short(value: float | None) -> str:
    """A number up to 1 in three characters, or four with a sign: `.86`."""
    if value is None or value != value:
        return DASH
    return "1.0" if value >= 0.995 else number(value).replace("0.", ".", 1)


def short_of_row(row: Mapping[str, Any], name: str) -> str:
    """Three columns of a record as a short interval: `.86 [.78 .93]`."""
    value, low, high = (short(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    return value if row[f"{name}_low"] is None else f"{value} [{low} {high}]"


def joined(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def small(value: float | None) -> str:
    """A q- or p-value in four characters: only its distance from 0 matters."""
    return "<.01" if value is not None and value < 0.01 else short(value)


def equals(value: float | None) -> str:
    """A q- or p-value after its name: `= 0.031`, `< 0.001`."""
    if value is None or value != value:
        return f"={SPACE}{DASH}"
    sign = "<" if value < SMALLEST_Q else "="
    return f"{sign}{SPACE}{max(value, SMALLEST_Q):.3f}"


def bandwidth(value: float) -> str:
    """`h = 0.21`: a bandwidth to three significant digits."""
    return f"h{SPACE}={SPACE}{value:.3g}"


def level(row: Mapping[str, Any]) -> str:
    """The level of a row: `1 in 64 (h = 0.21)`, or `h = 0.3` where that was set itself."""
    resolution = row["resolution"]
    at = bandwidth(row["bandwidth"])
    return at if resolution is None else f"1{SPACE}in{SPACE}{resolution:g} ({at})"


def short_level(row: Mapping[str, Any]) -> str:
    """The level of a row in a narrow column: `1/64`, or its bandwidth where that was set itself."""
    return f"{row['bandwidth']:.3g}" if row["resolution"] is None else f"1/{row['resolution']:g}"


def count(n: int, thing: str) -> str:
    """`1 target`, `24 targets`."""
    return f"{n:,} {thing}" + ("" if n == 1 else "s")


def undefined(value: float | None) -> bool:
    """None, or NaN."""
    return value is None or math.isnan(value)


def visible(text: str) -> str:
    """The text; where nothing in it can be seen, its characters by name: `‹space›`, `‹newline ×2›`."""
    if any(category(letter)[0] not in "ZCM" and letter not in _EMPTY_LETTERS for letter in text):
        return text
    runs = ((_named(letter), len(list(run))) for letter, run in groupby(text))
    return "".join(f"‹{named}›" if times == 1 else f"‹{named} ×{times}›" for named, times in runs)


def _named(letter: str) -> str:
    return _UNNAMED.get(letter) or unicode_name(letter, "").lower() or f"U+{ord(letter):04X}"


def pieces(source: str, text: str) -> list[str]:
    """`text`, made visible, in pieces, by turns shared with `source` and not, a shared one first.

    The first may be empty. Any other empty piece stands where words of `source` are missing.
    """
    source, text = visible(source), visible(text)
    old, new = _words(source), _words(text)
    texts = [""]
    for kind, _, _, start, end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        run = "".join(new[start:end])
        if (kind == "equal") != (len(texts) % 2 == 1):
            texts.append(run)
        else:
            texts[-1] += run
    return texts


def marked(source: str, text: str, mark: Callable[[str], str], plain: Callable[[str], str]) -> str:
    """`text`, by `plain`, with the words that differ from the source's by `mark`."""
    shown = []
    for index, piece in enumerate(pieces(source, text)):
        words = piece.lstrip()
        if index % 2 == 0:
            shown.append(plain(piece))
        elif words:
            shown += [plain(piece[: len(piece) - len(words)]), mark(words)]
    return "".join(shown)


def _words(text: str) -> list[str]:
    """The words of a text, each with the space before it. No letter is parted from its accents, nor an emoji."""
    words: list[str] = []
    for piece in _WORD.findall(text):
        if words and (_joins(piece[0]) or (_joins(words[-1][-1]) and not _ends_a_word(piece[0]))):
            words[-1] += piece
        else:
            words.append(piece)
    return words


def _joins(letter: str) -> bool:
    """Combining marks, and format characters such as the joiner inside of an emoji."""
    return not letter.isascii() and (category(letter)[0] == "M" or category(letter) == "Cf")


def _ends_a_word(letter: str) -> bool:
    return category(letter)[0] in "PZC"


def shortened(text: str, most: int = 60) -> str:
    """The end of a text, where it was read: whole words, where they are not long ones."""
    text = visible(text)
    if len(text) <= most:
        return text
    words = text[-most:].partition(" ")[2]
    return f"…{words if len(words) > most // 2 else text[-most:]}"
