"""Candidates of the miner: expressions that could separate texts like these, the simplest first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

import numpy as np

from inversescope.features.annotators import SENTIMENT, SPEECH, TOPICS, topics
from inversescope.features.language import parse
from inversescope.features.word_splitting import split

RARE = 0.02  # share of the texts below which (or above 1 − which) a word is too rare (or too common) to tell them apart
NGRAM = 3  # words of the longest phrase
PHRASES = 150  # tried at most, those that halve the texts best
POSITIONS = (*range(8), *range(-6, 0))
NAMED = {"NOUN": "noun", "PROPN": "proper name", "VERB": "verb", "ADJ": "adjective"}  # parts of speech that say much
COUNTED = NAMED | {"ADV": "adverb", "PRON": "pronoun", "NUM": "numeral"}
TOPIC = "topic cluster"  # what the clusters of the pool are called among the hypotheses


@dataclass(frozen=True)
class Candidate:
    """A feature to be tried: an expression of the language, and the same in words.

    One that was fitted to the texts is no expression, and has a function of its own. `counted`: the expression that is
    "0" for a text without what this one counts.
    """

    source: str
    words: str
    fitted: Callable[[str], str | None] | None = field(default=None, compare=False)
    counted: str | None = None

    @cached_property
    def label(self) -> Callable[[str], str | None]:
        """The label of a text."""
        return self.fitted or parse(self.source).label


def candidates(texts: Sequence[str]) -> list[Candidate]:
    """Everything that is tried on texts like these, which are of the prior; what needs a library, where that is there.

    Raises:
        UserError: the model of an annotator cannot be loaded.
    """
    own = (_words(texts), _positions(texts), _phrases(texts), _counts(texts), _lengths(texts), _spelling(texts))
    candidates = chain(*own, _running_text(), _sentiment(), _speech(texts), _topics(texts))
    return list({candidate.source: candidate for candidate in candidates}.values())


def _words(texts: Sequence[str]) -> Iterator[Candidate]:
    yield Candidate("first_word", "the first word")
    yield Candidate("last_word", "the last word")
    yield Candidate("count(first_word) > 1", "the first word comes again")
    yield Candidate("count(last_word) > 1", "the last word came before")
    yield Candidate(r"""extract(r"(\b[A-Z][\w'-]*)\b(?!.*\b[A-Z])")""", "the last capitalised word")
    yield Candidate('extract("(?i)([aeiou])[^aeiou]*$")', "the last vowel")


def _positions(texts: Sequence[str]) -> Iterator[Candidate]:
    """The word at a position that most texts have, and properties of its spelling."""
    for position, where in _places(texts):
        yield Candidate(f"word({position})", where)
        yield Candidate(f"""extract(r"^(\\w\\w\\w)", word({position}))""", f"the first three letters of {where}")
        yield Candidate(f'ends_with("s", word({position}))', f"{where} ends in s")


def _places(texts: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The positions that most texts have, each with how it is called."""
    lengths = np.array([len(split(text)) for text in texts])
    for position in POSITIONS:
        needed = position + 1 if position >= 0 else -position
        if (lengths >= needed).mean() >= 0.5:
            yield position, f"word {position + 1}" if position >= 0 else f"word {-position} from the end"


def _phrases(texts: Sequence[str]) -> Iterator[Candidate]:
    """Presence of a phrase, and its first position."""
    counts = Counter(phrase for text in texts for phrase in set(_grams(split(text))))
    shares = {phrase: count / len(texts) for phrase, count in counts.items()}
    telling = [phrase for phrase, share in shares.items() if RARE <= share <= 1 - RARE]
    best = sorted(telling, key=lambda phrase: (abs(shares[phrase] - 0.5), len(phrase), phrase))[:PHRASES]
    for phrase in sorted(best, key=len):
        yield Candidate(f"has_word({_quoted(phrase)})", f"has “{' '.join(phrase)}”")
    for phrase in sorted(phrase for phrase, share in shares.items() if len(phrase) == 1 and share >= 0.5):
        yield Candidate(f"position({_quoted(phrase)})", f"where “{phrase[0]}” is first")


def _counts(texts: Sequence[str]) -> Iterator[Candidate]:
    """Count of a word that some texts have more than once, and its parity."""
    several = Counter(word for text in texts for word, count in Counter(split(text)).items() if count > 1)
    for word, count in several.most_common(PHRASES):
        if count / len(texts) >= RARE:
            times = f"count({_quoted((word,))})"
            yield Candidate(times, f"how often “{word}” comes", counted=times)
            yield Candidate(f"{times} % 2", f"whether “{word}” comes an odd number of times", counted=times)


def _lengths(texts: Sequence[str]) -> Iterator[Candidate]:
    for name, sizes in (("words", [len(split(text)) for text in texts]), ("characters", list(map(len, texts)))):
        quarters = sorted({int(limit) for limit in np.quantile(sizes, [0.25, 0.5, 0.75])})
        limits = ", ".join(map(str, quarters))
        yield Candidate(f"bucket({name}, {limits})", f"length in {name}")
    yield Candidate("words", "the number of words")
    yield Candidate("words % 2", "whether the number of words is odd")


def _spelling(texts: Sequence[str]) -> Iterator[Candidate]:
    """Digits, capital letters, punctuation."""
    yield Candidate("has_digit", "has a digit")
    yield Candidate("has_upper", "has a capital letter")
    yield Candidate('matches("^[^a-z]*[A-Z]")', "begins with a capital letter")
    yield Candidate("last_character", "the last character")
    marks = Counter(sign for text in texts for sign in set(text) if not (sign.isalnum() or sign.isspace()))
    for sign, count in marks.most_common():
        if RARE <= count / len(texts) <= 1 - RARE:
            yield Candidate(f"contains({sign!r})", f"has “{sign}”")
            yield Candidate(f"ends_with({sign!r})", f"ends with “{sign}”")


def _running_text() -> Iterator[Candidate]:
    """Place of the end within its clause, quotation and brackets; words that come again; the language."""
    yield Candidate("clause_words", "the number of words since the last punctuation mark")
    yield Candidate("bucket(clause_words, 1, 2, 4, 8)", "the place in the clause")
    yield Candidate("open_quote", "a quotation is open")
    yield Candidate("open_bracket", "the bracket that is open")
    yield Candidate('open_bracket != "none"', "a bracket is open")
    yield Candidate("repeats(2)", "the last two words stand together before")
    yield Candidate("language", "the language")


def _sentiment() -> Iterator[Candidate]:
    if SENTIMENT.missing() is None:
        yield Candidate("sentiment", "positive, negative or neutral")
        yield Candidate('sentiment == "positive"', "is positive")
        yield Candidate('sentiment == "negative"', "is negative")


def _speech(texts: Sequence[str]) -> Iterator[Candidate]:
    """The part of speech at each position, and the words of the telling ones."""
    if SPEECH.missing() is not None:
        return
    for position, where in _places(texts):
        yield Candidate(f"part_of_speech({position})", f"the part of speech of {where}")
    for tag, name in COUNTED.items():
        times = f'count_tagged("{tag}")'
        yield Candidate(times, f"the number of {name}s", counted=times)
        yield Candidate(f"{times} > 0", f"has a word that is a {name}")
    for tag, name in NAMED.items():
        yield Candidate(f'tagged("{tag}", 0)', f"the first {name}")
        yield Candidate(f'tagged("{tag}", -1)', f"the last {name}")


def _topics(texts: Sequence[str]) -> Iterator[Candidate]:
    if TOPICS.missing() is None and (clusters := topics.clusters(texts)) is not None:
        yield Candidate(TOPIC, f"the topic, of {len(clusters.names)}: {'; '.join(clusters.names)}", clusters.label)


def _grams(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for size in range(1, NGRAM + 1):
        yield from zip(*(words[start:] for start in range(size)), strict=False)


def _quoted(phrase: Sequence[str]) -> str:
    return repr(" ".join(phrase))
