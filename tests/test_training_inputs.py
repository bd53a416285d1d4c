"""Inputs that a generator is trained on: none that a pair answers with is favoured among those that are stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from toy_world import ToyTask

from inversescope.collect.inputs import Inputs
from inversescope.tasks import Task, Tokens
from inversescope.train import training_inputs as module
from inversescope.train.training_inputs import training_inputs


class Digits(ToyTask):
    """Some digits, each of them its own token at its own position."""

    def __init__(self, digits: int, rows: int | None = None):
        self.digits, self.rows = digits, rows

    def draw(self, n: int, rng: np.random.Generator) -> list[Tokens]:
        return [tuple(10 * i + int(d) for i, d in enumerate(rng.integers(10, size=self.digits))) for _ in range(n)]

    def enumerate(self) -> Iterator[tuple[Tokens, float]]:
        for number in range(10**self.digits):
            text = str(number).zfill(self.digits)
            yield tuple(10 * i + int(d) for i, d in enumerate(text)), 10.0**-self.digits


def read(digits: int, n: int) -> Inputs:
    return Inputs(Digits(digits).draw(n, np.random.default_rng(5)), [""] * n, {})


def prior(digits: int, rows: int | None = None) -> Task:
    return Digits(digits, rows)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DRAWN", 4000)


def test_a_small_prior_is_stored_whole_with_its_probability():
    inputs = read(2, 30)
    vocabulary, known = training_inputs(inputs, prior(2), 200, 0)
    assert known.stored == len(known.rows) == 100
    assert known.probability is not None and known.probability.tolist() == pytest.approx([0.01] * 100)
    assert vocabulary.decode(known.rows[:, 1:]) == sorted(tokens for tokens, _ in Digits(2).enumerate())
    assert vocabulary.decode(known.rows[known.read][:, 1:]) == inputs.tokens


def test_of_a_large_prior_the_answers_are_drawn_apart_from_what_is_stored():
    inputs = read(3, 50)
    vocabulary, known = training_inputs(inputs, prior(3), 200, 0)
    assert known.probability is None and known.stored == 200
    assert vocabulary.decode(known.rows[known.read][:, 1:]) == inputs.tokens
    assert known.read.max() < 50 and known.others.tolist() == list(range(200, 4050))
    decoded = vocabulary.decode(known.rows[:, 1:])
    stored = set(decoded[:200])
    # An answer is among the stored inputs as often as any draw from the prior is.
    share = np.mean([decoded[i] in stored for i in known.others.tolist()])
    assert share == pytest.approx(len(stored) / 1000, abs=0.03)


@pytest.mark.parametrize(("others", "size"), [(None, 40), (prior(3, rows=5000), 40), (None, 500)])
def test_without_others_only_what_was_read_is_used(others: Task | None, size: int):
    inputs = read(3, 50)
    vocabulary, known = training_inputs(inputs, others, size, 0)
    assert known.stored == min(size, 50) and not len(known.others)
    assert vocabulary.decode(known.rows[known.read][:, 1:]) == inputs.tokens
    assert Counter(vocabulary.decode(known.rows[:, 1:])) == Counter(inputs.tokens)


def test_the_seed_decides_the_inputs():
    sets = [training_inputs(read(3, 50), prior(3), 200, seed)[1].rows.tolist() for seed in (0, 0, 1)]
    assert sets[0] == sets[1] != sets[2]
