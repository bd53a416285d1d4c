"""Functions and names of the feature language, each with its kinds and its meaning.

A function is not called where an argument is undecided (None): its value is undecided too.
"""

from __future__ import annotations

import itertools
import math
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import regex

from inversescope.bounds import LimitError, limited
from inversescope.errors import UserError
from inversescope.features import function_words, punctuation
from inversescope.features.annotators import SENTIMENT, SPEECH, TOPICS, Annotator, sentiment, speech, topics
from inversescope.features.word_splitting import split

Value = bool | int | str | None
YES_NO, NUMBER, TEXT = "yes or no", "number", "text"
PHRASE, PATTERN, GROUP, LIMIT = "words", "regular expression", "regular expression with one group", "rising numbers"
TAG, TOPIC = "part of speech", "two texts or more"

SECONDS = 0.1  # that a regular expression may take on one text
REPETITIONS = 10_000  # of a part of a regular expression, within all others that repeat it
COMPILED = 1.0, 1 << 28  # seconds and bytes that it may take to read one
PATIENCE = 10  # texts on which it may take longer, before it is not tried again


@dataclass(frozen=True)
class Function:
    """A function of the language: the kind of its value and those of its arguments.

    `of_text`: it takes a text as its last argument, which is the whole text where none is given. The kinds `words`,
    `regular expression` and `rising numbers` are checked when the expression is read.
    """

    kind: str
    takes: tuple[str, ...]
    compute: Callable[..., Value]
    of_text: bool = True


def position(phrase: str, text: str) -> int | None:
    """The index of the first word of the first place where these words stand; undecided where they do not."""
    return next(_places(phrase, text), None)


def _places(phrase: str, text: str) -> Iterator[int]:
    wanted, words = split(phrase), split(text)
    if not wanted or wanted[0] not in words:  # as it is most often
        return iter(())
    return (at for at, word in enumerate(words) if word == wanted[0] and words[at : at + len(wanted)] == wanted)


def _word(index: int, text: str) -> str | None:
    words = split(text)
    return words[index] if -len(words) <= index < len(words) else None


def bucket(number: int, *limits: int) -> str:
    """The range between two limits in which a number lies, in words."""
    if number < limits[0]:
        return f"below {limits[0]}"
    for low, high in itertools.pairwise(limits):
        if number < high:
            return f"{low} to {high - 1}" if high - low > 1 else f"{low}"
    return f"{limits[-1]} or more"


class Pattern:
    """A regular expression that is searched for no longer than `SECONDS` a text.

    `timeouts` counts the texts on which it was given up; after `PATIENCE` of them none is tried any more.

    Raises:
        UserError: it is not a regular expression.
    """

    def __init__(self, source: str):
        _require_few_repetitions(source)
        try:
            # Warnings: of what a later version of `regex` may read otherwise.
            with limited(*COMPILED), warnings.catch_warnings(action="ignore"):
                self._compiled = regex.compile(source)
        except (regex.error, KeyError, ValueError, OverflowError, LimitError) as error:
            raise UserError("this is not a regular expression", given=f"{source!r}: {error}") from error
        self.groups: int = self._compiled.groups
        self.timeouts = 0

    def search(self, text: str) -> regex.Match | bool:
        """The first match, or False; raises `TimeoutError`."""
        if self.timeouts >= PATIENCE:
            self.timeouts += 1
            raise TimeoutError
        try:
            return self._compiled.search(text, timeout=SECONDS) or False
        except (TimeoutError, MemoryError):
            self.timeouts += 1
            raise TimeoutError from None


def _require_few_repetitions(source: str) -> None:
    """Refuse a repetition such as {100000000}: `regex` writes it out, without end and without a way to stop it.

    Counts are multiplied, as those within each other are. In verbose mode white space and comments may stand in one.
    """
    bare = re.sub(r"\s", "", source)
    readings = (source, bare, re.sub(r"\s", "", re.sub(r"#.*", "", source)))
    counts = [[max(1, int(count)) for count in re.findall(r"\{([0-9]+)", reading)] for reading in readings]
    if max(map(math.prod, counts)) > REPETITIONS:
        raise UserError(
            "the regular expression repeats something too often",
            given=repr(source),
            allowed=f"counts {{n}} whose product is up to {REPETITIONS:,}",
        )


def _matches(pattern: Pattern, text: str) -> bool | None:
    try:
        return bool(pattern.search(text))
    except TimeoutError:
        return None


def _extract(pattern: Pattern, text: str) -> str | None:
    try:
        match = pattern.search(text)
    except TimeoutError:
        return None
    return match.group(1) if isinstance(match, regex.Match) else None


NAMES: dict[str, tuple[str, Callable[[str], Value]]] = {
    "text": (TEXT, lambda text: text),
    "first_word": (TEXT, lambda text: _word(0, text)),
    "last_word": (TEXT, lambda text: _word(-1, text)),
    "last_character": (TEXT, lambda text: text[-1:] or None),
    "words": (NUMBER, lambda text: len(split(text))),
    "characters": (NUMBER, len),
    "has_digit": (YES_NO, lambda text: any(map(str.isdigit, text))),
    "has_upper": (YES_NO, lambda text: any(map(str.isupper, text))),
    "clause_words": (NUMBER, punctuation.clause_words),
    "open_quote": (YES_NO, punctuation.open_quote),
    "open_bracket": (TEXT, punctuation.open_bracket),
    "language": (TEXT, function_words.language),
    "sentiment": (TEXT, sentiment.sentiment),
}

FUNCTIONS: dict[str, Function] = {
    "word": Function(TEXT, (NUMBER,), _word),
    "contains": Function(YES_NO, (TEXT,), lambda piece, text: piece in text),
    "starts_with": Function(YES_NO, (TEXT,), lambda piece, text: text.startswith(piece)),
    "ends_with": Function(YES_NO, (TEXT,), lambda piece, text: text.endswith(piece)),
    "has_word": Function(YES_NO, (PHRASE,), lambda phrase, text: position(phrase, text) is not None),
    "count": Function(NUMBER, (PHRASE,), lambda phrase, text: sum(1 for _ in _places(phrase, text))),
    "position": Function(NUMBER, (PHRASE,), position),
    "repeats": Function(YES_NO, (NUMBER,), punctuation.repeats),
    "matches": Function(YES_NO, (PATTERN,), _matches),
    "extract": Function(TEXT, (GROUP,), _extract),
    "lower": Function(TEXT, (TEXT,), str.lower, of_text=False),
    "bucket": Function(TEXT, (NUMBER, LIMIT), bucket, of_text=False),
    "part_of_speech": Function(TEXT, (NUMBER,), speech.part_of_speech),
    "tagged": Function(TEXT, (TAG, NUMBER), speech.tagged),
    "count_tagged": Function(NUMBER, (TAG,), speech.count_tagged),
    "about": Function(TEXT, (TEXT, TOPIC), topics.about, of_text=False),
}

# The words of the language that need a library beyond what InverseScope itself needs.
NEEDED: dict[str, Annotator] = {
    "sentiment": SENTIMENT,
    "part_of_speech": SPEECH,
    "tagged": SPEECH,
    "count_tagged": SPEECH,
    "about": TOPICS,
}
