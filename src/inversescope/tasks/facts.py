"""Natural sentences with planted facts, in frames that the targets do not share with any other input.

The prior: a frame, and independently of it a filler for each slot, all equally likely. Every feature is a function of
any text, so that inputs of any origin are compared. Targets come from frames of their own. Cuts:

    end     the whole sentence
    later   one word or mark behind a fact
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple, Self

from numpy.random import Generator
from pydantic import Field

from inversescope.errors import UserError
from inversescope.tasks.facts_words import (
    AFFIRMED,
    CITIES,
    LANGUAGES,
    NAMES,
    NEGATED,
    NEGATIVE,
    NUMBERS,
    POSITIVE,
    Language,
)
from inversescope.tasks.registry import register
from inversescope.tasks.task import Labels, TaskConfig, TaskSubject, Tokens

FEATURES = ("entity", "number", "sentiment", "language", "speaker", "negation")
_SLOT, _WORD = re.compile(r"\{(\w+)\}"), re.compile(r"\w+")


class FactsConfig(TaskConfig):
    """Sentences in four languages with a city, a number, a sentiment, a speaker and perhaps a negation in them."""

    name: Literal["facts"] = Field(default="facts", description="the task: sentences with planted facts")
    cut: Literal["end", "later"] = Field(
        default="end", description="end of the inputs: the whole sentence, or one word or mark behind a fact"
    )


class Frame(NamedTuple):
    """A frame and its fillers.

    Attributes:
        parts: texts around the slots, one more than there are slots.
        slots: the slots' names, in order.
        fillers: of each slot.
        pattern: matches a text of the frame, a group for each slot.
        held_out: the targets alone come from it.
    """

    parts: tuple[str, ...]
    slots: tuple[str, ...]
    fillers: tuple[tuple[str, ...], ...]
    pattern: re.Pattern[str]
    held_out: bool

    @classmethod
    def of(cls, text: str, words: Language, held_out: bool) -> Self:
        """From its text, braces around the names of slots."""
        pieces = _SLOT.split(text)
        parts, slots = tuple(pieces[::2]), tuple(pieces[1::2])
        fillers = tuple(_fillers(slot, words) for slot in slots)
        groups = [f"({'|'.join(map(re.escape, each))})" for each in fillers]
        pattern = "".join(map(str.__add__, map(re.escape, parts), [*groups, ""]))
        return cls(parts, slots, fillers, re.compile(pattern), held_out)

    @property
    def size(self) -> int:
        """Number of its texts."""
        return math.prod(map(len, self.fillers))

    def text(self, chosen: Sequence[str]) -> str:
        """The text with these fillers."""
        return "".join(map(str.__add__, self.parts, [*chosen, ""]))

    def has(self, text: str) -> bool:
        """True for one of its texts."""
        return self.pattern.fullmatch(text) is not None


@register(FactsConfig)
class Facts:
    """The task for one subject's tokenizer.

    Raises:
        UserError: the tokenizer does not give a text back.
    """

    name = "facts"
    rows = None
    features = FEATURES

    def __init__(self, config: FactsConfig, subject: TaskSubject):
        self.cut: str = config.cut
        self._subject = subject
        self.frames = frames(config.cut)
        self._encode = lru_cache(maxsize=65_536)(lambda text: tuple(subject.encode(text)))
        self._labels = lru_cache(maxsize=65_536)(read)
        for frame in self.frames:
            text = frame.text([each[0] for each in frame.fillers])
            if subject.decode(subject.encode(text)) != text:
                raise UserError("the subject's tokenizer does not give a text of this task back", given=repr(text))

    def draw(self, n: int, rng: Generator) -> list[Tokens]:
        """`n` independent inputs x ~ P, prefix included, cut applied."""
        drawn = []
        for which in rng.integers(len(self.frames), size=n).tolist():
            frame = self.frames[which]
            places = rng.integers([len(each) for each in frame.fillers]).tolist()
            drawn.append(self._encode(frame.text([each[i] for each, i in zip(frame.fillers, places, strict=True)])))
        return drawn

    def held_out(self, tokens: Sequence[int]) -> bool:
        """True for an input of a frame that only targets have."""
        text = self._subject.decode(tokens)
        return any(frame.held_out and frame.has(text) for frame in self.frames)

    def labels(self, tokens: Sequence[int]) -> Labels:
        """The features of any token sequence, None where undecided."""
        return dict(self._labels(self._subject.decode(tokens)))

    def log_prior(self, tokens: Sequence[int]) -> float:
        """ln P(x) in nats, exact; -inf outside the support."""
        text = self._subject.decode(tokens)
        if self._encode(text) != tuple(tokens):
            return -math.inf
        probability = sum(1 / frame.size for frame in self.frames if frame.has(text)) / len(self.frames)
        return math.log(probability) if probability else -math.inf

    def enumerate(self) -> Iterator[tuple[Tokens, float]]:
        """Every distinct input with its probability P(x).

        Raises:
            UserError: there are too many.
        """
        raise UserError(
            "this prior is too large to be enumerated",
            given=f"{sum(frame.size for frame in self.frames):,} inputs",
            remedy="numbers for collect.train and collect.pool",
        )

    def accuracy(self, subject: TaskSubject, n: int, rng: Generator) -> None:
        """None: a text has no right answer."""
        return None

    def contrast(self, tokens: Sequence[int]) -> None:
        """None: a text has no right next token."""
        return None


@lru_cache
def frames(cut: str) -> tuple[Frame, ...]:
    """All frames, up to a cut."""
    found = []
    for words, held_out in itertools.product(LANGUAGES.values(), (False, True)):
        for text in words.held_out if held_out else words.frames:
            whole = text.replace("|", "") if cut == "end" else text.partition("|")[0]
            found.append(Frame.of(whole, words, held_out))
    return tuple(found)


def read(text: str) -> Labels:
    """The features of any text: the last city, number and quoted speaker that it names, the sentiment of its last word
    that has one, its language, and whether a word of it negates.
    """
    names = ("number", "positive", "negative", "negation")
    last = {name: None if (found := _last(_words(name), text)) is None else found for name in names}
    good, bad = last["positive"], last["negative"]
    sentiment = None if good is bad is None else (POSITIVE if _end(good) > _end(bad) else NEGATIVE)
    number = last["number"]
    city, speakers = _last(_pattern(CITIES), text), list(_speakers().finditer(text))
    return {
        "entity": None if city is None else city[0],
        "number": None if number is None else _numbers()[number[0].casefold()],
        "sentiment": sentiment,
        "language": _language(text),
        "speaker": next(filter(None, speakers[-1].groups())) if speakers else None,
        "negation": AFFIRMED if last["negation"] is None else NEGATED,
    }


def _language(text: str) -> str | None:
    """The language whose frequent words and words of frames are most of the text's, if there is one."""
    words = set(_WORD.findall(text.casefold()))
    counts = {name: len(words & known) for name, known in _vocabulary().items()}
    best = max(counts.values())
    first = [name for name, count in counts.items() if count == best]
    return first[0] if len(first) == 1 else None


@lru_cache
def _vocabulary() -> dict[str, frozenset[str]]:
    """Frequent words, and those of the frames and fillers of each language, without names."""
    found = {}
    for name, words in LANGUAGES.items():
        texts = [words.frequent, *(_SLOT.sub(" ", frame) for frame in (*words.frames, *words.held_out))]
        fillers = (words.numbers, words.things, words.affirmed, words.negated, words.positive, words.negative)
        found[name] = frozenset(_WORD.findall(" ".join(itertools.chain(texts, *fillers)).casefold()))
    return found


def _fillers(slot: str, words: Language) -> tuple[str, ...]:
    known = {
        "speaker": NAMES,
        "other": NAMES,
        "city": CITIES,
        "number": words.numbers,
        "things": words.things,
        "verb": (*words.affirmed, *words.negated),
        "adjective": (*words.positive, *words.negative),
    }
    return known[slot]


def _pattern(words: Sequence[str], flags: int = 0) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, sorted(words, key=len, reverse=True)))})(?!\w)", flags)


@lru_cache
def _words(name: str) -> re.Pattern[str]:
    """Words of all languages that say a number, a sentiment or a negation."""
    field = {"number": "numbers", "negation": "negations"}.get(name, name)
    return _pattern([word for words in LANGUAGES.values() for word in getattr(words, field)], re.IGNORECASE)


@lru_cache
def _numbers() -> dict[str, str]:
    return {word: number for words in LANGUAGES.values() for word, number in zip(words.numbers, NUMBERS, strict=True)}


@lru_cache
def _speakers() -> re.Pattern[str]:
    """A name beside a word of speech."""
    before = "|".join(word for words in LANGUAGES.values() for word in words.before)
    after = "|".join(word for words in LANGUAGES.values() for word in words.after)
    name = "|".join(NAMES)
    return re.compile(rf"(?<!\w)(?i:{before}) ({name})(?!\w)|(?<!\w)({name}) (?i:{after})(?!\w)")


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    return max(pattern.finditer(text), key=lambda match: match.start(), default=None)


def _end(match: re.Match[str] | None) -> int:
    return -1 if match is None else match.end()
