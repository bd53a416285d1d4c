"""Directions explained by draws: planted directions are explained, and others are not."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pytest
import small_subject

from inversescope.natural_text.natural_text import NaturalText
from inversescope.subject import Subject

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import direction_texts  # pyright: ignore[reportMissingImports]
import directions  # pyright: ignore[reportMissingImports]

WORDS = ["river", "stone", "cloud", "apple", "table", "house", "bird", "road"]

FRENCH = directions.Direction("French", None, direction_texts.concepts()[0])  # pyright: ignore[reportArgumentType]


def corpus(n: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, 5)) + "." for _ in range(n)]


def test_held_out_texts_share_no_part_that_tells_the_concept():
    for concept in direction_texts.concepts():
        made = {*concept.having, *concept.lacking}
        assert (
            len(concept.having) == len(concept.lacking) and len(concept.held_having) == len(concept.held_lacking) >= 4
        )
        assert not made & {*concept.held_having, *concept.held_lacking}
        assert not {*concept.having} & {*concept.lacking}


def test_auroc():
    one, other = np.array([2.0, 3.0, 1.0]), np.array([0.0, 1.0])
    assert directions.auroc(one, other) == pytest.approx((2 + 2 + 1.5) / 6)
    assert directions.auroc(other, other) == 0.5
    low, high = directions.bootstrapped(np.arange(50.0), np.arange(50.0), np.random.default_rng(0))
    assert low < 0.5 < high


def test_without_the_last_word_the_last_word_is_no_term():
    whole, rest = (directions.terms("The cat saw rivers.", reading) for reading in directions.READINGS)
    assert "rivers" in whole and "ends in '.'" in whole
    assert "rivers" not in rest and "saw" in rest and not any(term.startswith("ends") for term in rest)


def test_terms_of_the_draws_weigh_most_and_common_ones_nothing():
    pool = corpus(200, 0)
    drawn = [text for text in corpus(400, 1) if "cloud" in text][:40]
    weights = directions.explanation(drawn, np.full(len(drawn), 1 / len(drawn)), pool, directions.READINGS[0])
    assert max(weights, key=weights.__getitem__) == "cloud" and weights["cloud"] > 2
    assert abs(weights["ends in '.'"]) < 1e-9


def chosen_by(word: str, texts: list[str]) -> np.ndarray:
    return np.array([i for i, text in enumerate(texts) if word in text.split()][:60])


@pytest.mark.parametrize("active_word, explained", [("cloud", True), ("bird", False), (None, False)])
def test_a_direction_is_explained_by_its_own_word_only(active_word: str | None, explained: bool):
    texts, rng = corpus(600, 2), np.random.default_rng(0)
    active = rng.normal(size=len(texts))
    if active_word:
        active += 2 * np.array([active_word in text.split() for text in texts])
    every = [chosen_by(word, texts) for word in ("cloud", "river", "bird", "stone", "road")]
    record = directions._of_direction(active, every, 0, rng)
    assert len(record["null"]) == 4 and directions.is_explained(record) == explained


def test_a_direction_without_an_explanation_has_no_number():
    record = directions._of_direction(np.arange(9.0), [None, np.array([0, 1])], 0, np.random.default_rng(0))
    assert record["auroc"] is None and len(record["null"]) == 1 and not directions.is_explained(record)
    assert directions._of_concept(None, "", FRENCH, None, "") == {"concept": None, "ceiling": None}


@pytest.mark.slow
def test_the_whole_benchmark_on_a_small_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INVERSESCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(directions, "CHOSEN", 8)
    monkeypatch.setattr(directions, "FIRES", (0.0, 1.0))
    monkeypatch.setattr(directions, "RESAMPLED", 20)
    folder, site = small_subject.save_subject(tmp_path / "small"), "resid_post.1"
    subject = Subject.load(str(folder), device="cpu", dtype="float32")
    options = argparse.Namespace(draws=64, proposals=40)
    text = NaturalText.open(subject, sites=[site], length=6, draws=64)
    found, facts = directions.latents(text, site, 2, 5.0)
    assert len(found) == 2 and facts["activations"] == 64 * 13
    every = [*directions.differences(text, site)[:1], *found, *directions.random_directions(16)[:1]]
    records = directions.measured(text, site, every, options)
    assert len(records) == 4 * len(directions.SOURCES) * len(directions.READINGS)
    assert all(0 <= record["auroc"] <= 1 for record in records if record["source"] != "draws")
    assert [record["ceiling"] is not None for record in records if record["source"] == "highest"] == [
        True,
        *[False] * 3,
    ] * 2
    assert len(directions.tables(records)) == 2
