"""The part of speech of each word, by spaCy (extra `linguistics`): a tag of Universal Dependencies, in context.

The pipeline is `en_core_web_sm`, or what `INVERSESCOPE_SPACY` names: an installed pipeline, or a folder.
"""

from __future__ import annotations

import os
from bisect import bisect
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from inversescope.errors import UserError
from inversescope.features.annotators.annotator import INSTALL, installed, version
from inversescope.features.word_splitting import split, starts

VARIABLE, DEFAULT = "INVERSESCOPE_SPACY", "en_core_web_sm"
UNUSED = ["parser", "ner", "lemmatizer", "senter", "textcat"]
TAGS = (
    *("ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ"),
    *("SYM", "VERB", "X"),
)  # https://github.com/UniversalDependencies/docs


class Speech:
    """An annotator: the tags of a text's words."""

    name = "part of speech"

    def missing(self) -> str | None:
        """Installation commands; the pipeline is another package than spaCy."""
        if not installed("spacy"):
            return INSTALL
        named = _named()
        there = Path(named, "meta.json").exists() or (named.isidentifier() and installed(named))
        return None if there else f"python -m spacy download {named} (or another pipeline, named by {VARIABLE})"

    def made_by(self) -> str:
        """spaCy and the pipeline, with their versions."""
        return f"{version('spacy')}, {_tagger(_named()).pipeline}"

    def learn(self, texts: Sequence[str]) -> None:
        """Tag many texts at once."""
        _tagger(_named()).learn(texts)


class _Tagger:
    """A pipeline, and the tags that it has given."""

    def __init__(self, name: str):
        import spacy

        try:
            self._nlp = spacy.load(name, exclude=UNUSED)
        except (OSError, ValueError) as error:  # of another version of spaCy, or no pipeline
            raise UserError("the spaCy pipeline cannot be loaded", given=f"{name}: {error}") from error
        self.pipeline = f"{name} {self._nlp.meta['version']}"
        self._tags: dict[str, tuple[str | None, ...]] = {}

    def learn(self, texts: Sequence[str]) -> None:
        new = [text for text in dict.fromkeys(texts) if text not in self._tags]
        for text, doc in zip(new, self._nlp.pipe(new), strict=True):
            begins = [token.idx for token in doc]
            # A word of ours may be several tokens (don't, well-known): the first of them counts.
            self._tags[text] = tuple(doc[bisect(begins, start) - 1].pos_ or None for start in starts(text))

    def tags(self, text: str) -> tuple[str | None, ...]:
        if text not in self._tags:
            self.learn([text])
        return self._tags[text]


@lru_cache(maxsize=1)
def _tagger(name: str) -> _Tagger:
    return _Tagger(name)


def _named() -> str:
    return os.environ.get(VARIABLE) or DEFAULT


def tags(text: str) -> tuple[str | None, ...]:
    """The tag of each word; None where the pipeline gives none.

    Raises:
        UserError: the pipeline cannot be loaded.
    """
    return _tagger(_named()).tags(text)


def part_of_speech(index: int, text: str) -> str | None:
    """The tag of the word at this position; undecided beyond the end."""
    tagged = tags(text)
    return tagged[index] if -len(tagged) <= index < len(tagged) else None


def tagged(tag: str, index: int, text: str) -> str | None:
    """The word at this position among the words with this tag; undecided where there are fewer."""
    words = [word for word, of_word in zip(split(text), tags(text), strict=True) if of_word == tag]
    return words[index] if -len(words) <= index < len(words) else None


def count_tagged(tag: str, text: str) -> int:
    """Number of words with this tag."""
    return tags(text).count(tag)
