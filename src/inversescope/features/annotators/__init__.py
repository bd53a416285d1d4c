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
    return {annotator.name: remedy for annotator in ANNOTATORS if (remedy := annotator.missing()) is not None}


def learn(texts: Sequence[str], progress: Progress = silent) -> None:
    """Let every annotator that is there read these texts, in batches."""
    installed = [annotator for annotator in ANNOTATORS if annotator.missing() is None]
    for start in range(0, len(texts), BATCH) if installed else ():
        for annotator in installed:
            annotator.learn(texts[start : start + BATCH])
        progress(min(start + BATCH, len(texts)), len(texts))
