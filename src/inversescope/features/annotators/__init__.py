"""Annotations of a text by libraries: part of speech, sentiment, topic (extra `linguistics`). In English by default."""

from collections.abc import Sequence

from inversescope.features.annotators.annotator import Annotator, require
from inversescope.features.annotators.sentiment import Sentiment
from inversescope.features.annotators.speech import Speech
from inversescope.features.annotators.topics import Topic
from inversescope.progress import Progress, silent

__all__ = ["ANNOTATORS", "BATCH", "SENTIMENT", "SPEECH", "TOPICS", "Annotator", "learn", "missing", "require"]

SPEECH, SENTIMENT, TOPICS = Speech(), Sentiment(), Topic()
ANNOTATORS: tuple[Annotator, ...] = (SPEECH, SENTIMENT, TOPICS)
BATCH = 1024  # texts between two words about how far it is


def missing() -> dict[str, str]:
    """The annotators that are missing here, each with its installation command."""
    return {each.name: remedy for each in ANNOTATORS if (remedy := each.missing()) is not None}


def learn(texts: Sequence[str], progress: Progress = silent) -> None:
    """Let every annotator that is there read these texts, in batches."""
    there = [each for each in ANNOTATORS if each.missing() is None]
    for start in range(0, len(texts), BATCH) if there else ():
        for each in there:
            each.learn(texts[start : start + BATCH])
        progress(min(start + BATCH, len(texts)), len(texts))
