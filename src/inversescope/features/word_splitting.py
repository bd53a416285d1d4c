"""The words of a text."""

from __future__ import annotations

from functools import lru_cache

import regex

_WORD = regex.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


@lru_cache(maxsize=65_536)
def split(text: str) -> tuple[str, ...]:
    """The words of a text: letters and digits, with an apostrophe or a hyphen inside; case is kept."""
    return tuple(_WORD.findall(text))


def starts(text: str) -> list[int]:
    """The character at which each word begins."""
    return [word.start() for word in _WORD.finditer(text)]
