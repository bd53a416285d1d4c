"""Place of the end of a text within its clause, quotations and brackets, by its punctuation alone."""

from __future__ import annotations

import regex

from inversescope.features.word_splitting import split

NONE = "none"
# A mark inside a number or an abbreviation (3.5, e.g) ends nothing: white space or a closing sign stands behind it.
_END = regex.compile(r"""[.!?;:,…](?=[\s"”»’)\]}]|$)|[\n()\[\]{}—]|\s[–-]\s""")
_OPENING = {"(": ")", "[": "]", "{": "}"}
_QUOTES = {'"': '"', "“": "”", "„": "“", "«": "»"}


def clause_words(text: str) -> int:
    """Number of words since the last mark that ends or interrupts a clause; all words where there is none."""
    ends = [mark.end() for mark in _END.finditer(text)]
    return len(split(text[ends[-1] if ends else 0 :]))


def open_quote(text: str) -> bool:
    """True where a quotation is open: “ ”, „ “, « », straight double quotes; single ones may be apostrophes."""
    closing: list[str] = []
    for sign in text:
        if closing and sign == closing[-1]:
            closing.pop()
        elif sign in _QUOTES:
            closing.append(_QUOTES[sign])
    return bool(closing)


def open_bracket(text: str) -> str:
    """The innermost bracket that is still open: `(`, `[` or `{`; else `none`. A closing one without partner is none."""
    opened: list[str] = []
    for sign in text:
        if sign in _OPENING:
            opened.append(sign)
        elif opened and sign == _OPENING[opened[-1]]:
            opened.pop()
    return opened[-1] if opened else NONE


def repeats(number: int, text: str) -> bool | None:
    """True where the last so many words stand together earlier in the text; undecided where it has no more words."""
    words = split(text)
    if not 0 < number < len(words):
        return None
    last = words[-number:]
    return any(words[at : at + number] == last for at in range(len(words) - number))
