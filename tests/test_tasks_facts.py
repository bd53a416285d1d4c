"""Sentences with planted facts: labels against what was planted, the prior, and frames that only targets have."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fake_tokenizer import WordSubject

from inversescope.collect.draw_inputs import draw_splits
from inversescope.config import CollectConfig
from inversescope.tasks.facts import FEATURES, Facts, FactsConfig, Frame, frames, read
from inversescope.tasks.facts_words import AFFIRMED, LANGUAGES, NEGATED, NEGATIVE, NUMBERS, POSITIVE

CUTS = ("end", "later")


def planted(language: str, frame: Frame, chosen: list[str]) -> dict[str, str | None]:
    """The truth by construction: the fillers of the slots."""
    words, filler = LANGUAGES[language], dict(zip(frame.slots, chosen, strict=True))
    number, adjective = filler.get("number"), filler.get("adjective")
    return {
        "entity": filler.get("city"),
        "number": None if number is None else NUMBERS[words.numbers.index(number)],
        "sentiment": None if adjective is None else POSITIVE if adjective in words.positive else NEGATIVE,
        "language": language,
        "speaker": filler.get("speaker"),
        "negation": NEGATED if filler.get("verb") in words.negated else AFFIRMED,
    }


def languages_of_frames() -> list[str]:
    return [name for name, words in LANGUAGES.items() for _ in (*words.frames, *words.held_out)]


@pytest.mark.parametrize("cut", CUTS)
def test_labels_are_what_was_planted(cut: str):
    rng = np.random.default_rng(0)
    for language, frame in zip(languages_of_frames(), frames(cut), strict=True):
        for _ in range(20):
            chosen = [each[rng.integers(len(each))] for each in frame.fillers]
            assert read(frame.text(chosen)) == planted(language, frame, chosen), frame.text(chosen)


@pytest.mark.parametrize(
    ("text", "feature", "label"),
    [
        ("Mary told John that it rained", "speaker", "Mary"),
        ("Mary saw John", "speaker", None),
        ("They went to Boston and then to Oslo", "entity", "Oslo"),
        ("They went to Bostonia", "entity", None),
        ("It was lovely, then it was ghastly", "sentiment", "negative"),
        ("nothing of the kind", "negation", "affirmed"),
        ("I have twelve of them, not more", "negation", "negated"),
        ("I have twelve of them, not more", "number", "twelve"),
        ("", "language", None),
    ],
)
def test_labels_of_other_texts(text: str, feature: str, label: str | None):
    assert read(text)[feature] == label


@pytest.mark.parametrize("cut", CUTS)
def test_the_prior_is_exact_and_malformed_inputs_have_none(cut: str):
    subject = WordSubject()
    task = Facts(FactsConfig(cut=cut), subject)
    for tokens in task.draw(50, np.random.default_rng(1)):
        text = subject.decode(tokens)
        chance = sum(1 / frame.size for frame in task.frames if frame.has(text)) / len(task.frames)
        assert task.log_prior(tokens) == pytest.approx(math.log(chance)) and chance > 0
        assert task.log_prior(tokens[:-1]) == -math.inf
        assert set(task.labels(tokens[:4])) == set(FEATURES)


def test_a_frame_is_as_likely_as_any_other():
    task = Facts(FactsConfig(), WordSubject())
    drawn = [task.held_out(tokens) for tokens in task.draw(4000, np.random.default_rng(2))]
    share = sum(frame.held_out for frame in task.frames) / len(task.frames)
    assert abs(np.mean(drawn) - share) < 4 * (share * (1 - share) / 4000) ** 0.5


def test_targets_alone_come_from_held_out_frames():
    task = Facts(FactsConfig(), WordSubject())
    config = CollectConfig(train=80, pool=40, targets=20)
    splits = draw_splits(config, task, np.random.default_rng(3))
    assert {name: len(inputs) for name, inputs in splits.items()} == {"train": 80, "pool": 40, "target": 20}
    assert all(map(task.held_out, splits["target"]))
    assert not any(map(task.held_out, [*splits["train"], *splits["pool"]]))


def test_no_frame_of_the_targets_is_one_of_the_others():
    for cut in CUTS:
        shown = {frame.parts for frame in frames(cut) if not frame.held_out}
        assert all(frame.parts not in shown for frame in frames(cut) if frame.held_out)
