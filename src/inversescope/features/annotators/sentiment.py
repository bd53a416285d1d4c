"""The sentiment of an English text, by VADER's lexicon and rules (Hutto and Gilbert 2014; extra `linguistics`)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

from inversescope.features.annotators.annotator import INSTALL, installed, version
from inversescope.features.word_splitting import split

FELT = 0.05  # |compound| from which a text is positive or negative, by VADER's authors


class Sentiment:
    """An annotator: the sentiment of a text."""

    name = "sentiment"

    def missing(self) -> str | None:
        """Installation command."""
        return None if installed("vaderSentiment") else INSTALL

    def made_by(self) -> str:
        """VADER with its version; the lexicon is part of it."""
        return version("vaderSentiment")

    def learn(self, texts: Sequence[str]) -> None:
        """Nothing to be gained: it reads ten thousand texts a second, one by one."""


@lru_cache(maxsize=65_536)
def sentiment(text: str) -> str | None:
    """`positive`, `negative`, or `neutral` (also without any word of the lexicon); undecided where there is no word."""
    if not split(text):
        return None
    compound = _analyzer().polarity_scores(text)["compound"]
    return "positive" if compound >= FELT else "negative" if compound <= -FELT else "neutral"


@cache
def _analyzer() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()
