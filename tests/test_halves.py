"""Halves of the draws of one activation: inputs that proposed a hypothesis do not confirm it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_explain import drawn

from inversescope.explain.halves import apart
from inversescope.inverter import Inversion, InvertedSample
from inversescope.score.feature import PriorLabels
from inversescope.score.one_activation import score_activation
from inversescope.stats.weights import importance_weights

SOURCE, DRAWS = 0, 64
PRIOR = PriorLabels(np.array([0.5, 0.5]), 2500.0)


def half(inputs: int, rng: np.random.Generator) -> Inversion:
    """Draws from a posterior of so many equal inputs, an input being its number."""
    numbers, flat = rng.integers(inputs, size=DRAWS), np.full(DRAWS, -np.log(inputs))
    weights = importance_weights(flat, flat, numbers.tolist()).weights
    pairs = zip(numbers.tolist(), weights.tolist(), strict=True)
    samples = tuple(InvertedSample(str(x), (x,), 0.1, weight, False, -1.0, {}) for x, weight in pairs)
    return replace(drawn(["any"]), text=str(SOURCE), tokens=(SOURCE,), samples=samples)


def numbers(inversion: Inversion) -> list[int]:
    return [sample.tokens[0] for sample in inversion.samples if sample.tokens]


@pytest.mark.parametrize("inputs", [5, 30, 1000])
def test_no_input_but_the_source_is_in_both_and_weights_stay_what_they_are_in_the_mean(inputs: int):
    rng, shares = np.random.default_rng(inputs), []
    for _ in range(200):
        first, second = half(inputs, rng), half(inputs, rng)
        proposes, judged = apart(first, second)
        used = [{x for x, w in zip(numbers(each), each.weights, strict=True) if w > 0} for each in (proposes, judged)]
        assert used[0] & used[1] <= {SOURCE} and used[0] | used[1] == {*numbers(first), *numbers(second)}
        assert all(each.weights.sum() == pytest.approx(1) for each in (proposes, judged))
        shares.append((judged.source_share.weight or 0.0) - (second.source_share.weight or 0.0))
    assert abs(np.mean(shares)) < 0.02 + 1.5 / inputs**2


def test_the_best_of_many_features_without_meaning_is_not_confirmed_and_a_true_one_is():
    rng, by_chance, true = np.random.default_rng(0), [], []
    for _ in range(30):
        labels = rng.integers(2, size=(120, 30))
        labels[0] = labels[0, SOURCE]
        proposes, judged = apart(half(30, rng), half(30, rng))

        def lowest(row: np.ndarray, of: Inversion = proposes, weights: np.ndarray = proposes.weights) -> float:
            return score_activation(row[numbers(of)], weights, int(row[SOURCE]), PRIOR, True).corrected.low

        best = max(labels[1:], key=lowest)
        by_chance.append(lowest(best, judged, judged.other_weights) > 0)
        true.append(lowest(labels[0], judged, judged.other_weights) > 0)
    assert np.mean(by_chance) < 0.15 and np.mean(true) > 0.9
