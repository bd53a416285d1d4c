"""The classifier two-sample test: blind to samples of one distribution, and not to a corrupted sampler."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from inversescope.stats.two_sample import FEWEST, classifier_test

TARGETS, N, PLACES, TOKENS = 15, 8, 4, 5


def drawn(rng: np.random.Generator, shares: np.ndarray, n: int = N) -> list[list[tuple[int, ...]]]:
    """`n` inputs for each target; `shares` is [targets, places, tokens]."""
    places = range(shares.shape[1])
    return [
        [tuple(10 * place + int(rng.choice(TOKENS, p=target[place])) for place in places) for _ in range(n)]
        for target in shares
    ]


def conditions(rng: np.random.Generator, targets: int = TARGETS) -> np.ndarray:
    """What each target's inputs are like, [targets, places, tokens]: targets differ far more than sides do."""
    return rng.dirichlet(np.full(TOKENS, 0.5), (targets, PLACES))


def test_samples_of_one_distribution_are_not_classifier_test():
    found = []
    for seed in range(120):
        rng = np.random.default_rng([seed, 1])
        shares = conditions(rng)
        found.append(classifier_test(drawn(rng, shares), drawn(rng, shares), seed))
    p_values = np.array([p_value for _, p_value in found])
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert (p_values <= 0.05).mean() <= 0.1
    areas = [estimate for estimate, _ in found]
    assert np.mean([estimate.value for estimate in areas]) == pytest.approx(0.5, abs=0.02)
    assert np.mean([estimate.low <= 0.5 <= estimate.high for estimate in areas]) >= 0.9


def test_a_corrupted_sampler_is_classifier_test():
    rng = np.random.default_rng(0)
    shares = conditions(rng, 24)
    corrupted = 0.7 * shares + 0.3 * np.eye(TOKENS)[0]  # three in ten tokens are overwritten by the first
    area, p_value = classifier_test(drawn(rng, corrupted, 24), drawn(rng, shares, 24), 0)
    assert area.low > 0.6
    assert p_value == 1 / 200


def test_a_token_that_real_inputs_never_have_gives_them_away_wherever_it_stands():
    rng = np.random.default_rng(1)
    shares = conditions(rng, 20)
    forged = [
        [(*x[:place], 99, *x[place + 1 :]) for x, place in zip(each, rng.integers(0, PLACES, N), strict=True)]
        for each in drawn(rng, shares)
    ]
    area, _ = classifier_test(forged, drawn(rng, shares), 0)
    assert area.value > 0.99


def test_equal_sets_have_an_area_of_a_half():
    inputs = drawn(np.random.default_rng(2), conditions(np.random.default_rng(2)))
    area, p_value = classifier_test(inputs, inputs, 0)
    assert (area.value, p_value) == (0.5, 1.0)


def test_few_targets_leave_it_undefined():
    inputs = drawn(np.random.default_rng(3), conditions(np.random.default_rng(3), FEWEST - 1))
    area, p_value = classifier_test(inputs, inputs, 0)
    assert np.isnan([*area, p_value]).all()
    assert np.isnan([*classifier_test([], [], 0)[0]]).all()
