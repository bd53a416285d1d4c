"""Plain words that are exactly one expression of the feature language, so that no judge is needed for them.

Only whole sentences of these forms: what is almost one of them is left to a judge.
"""

from __future__ import annotations

import re

from inversescope.features.function_words import LANGUAGES

_SUBJECT = r"(?:(?:the|this) (?:text|input|prompt|sentence) |it )?"
_QUOTED = r"[\"'“‘](?P<x>[^\"“”]+?)[\"'”’]"
_HAS = r"(?:mentions|contains|includes|has)"
_LANGUAGE = f"(?P<name>{'|'.join(LANGUAGES)})"
_FORMS = (
    (rf"{_SUBJECT}{_HAS} (?:the )?(?:word|name|phrase|token)?\s*{_QUOTED}", "has_word({x})"),
    (rf"{_SUBJECT}(?:starts|begins) with {_QUOTED}", "starts_with({x})"),
    (rf"{_SUBJECT}ends (?:with|in) {_QUOTED}", "ends_with({x})"),
    (rf"the (?P<end>first|last) word is {_QUOTED}", "{end}_word == {x}"),
    (rf"{_SUBJECT}{_HAS} a digit", "has_digit"),
    (rf"(?:{_SUBJECT}is (?:written )?in|the language is) {_LANGUAGE}", "language == {name}"),
    (r"the (?:sentiment|tone)(?: of the text)? is (?P<tone>positive|negative|neutral)", "sentiment == {tone}"),
)
_COMPILED = tuple((re.compile(pattern, re.IGNORECASE), form) for pattern, form in _FORMS)


def expression_of(words: str) -> str | None:
    """The expression that a sentence says; None where it has none of the known forms."""
    sentence = " ".join(words.split()).removesuffix(".")
    for pattern, form in _COMPILED:
        if (found := pattern.fullmatch(sentence)) is None:
            continue
        parts = found.groupdict()
        quoted = {name: repr(part) for name, part in parts.items()}
        if "end" in parts:
            quoted["end"] = parts["end"].lower()
        if "tone" in parts:
            quoted["tone"] = repr(parts["tone"].lower())
        if "name" in parts:
            quoted["name"] = repr(parts["name"].capitalize())
        return form.format(**quoted)
    return None
