"""Intervals that cover what they claim, entropies without their bias, shares against counting; undefined stays NaN."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray
from scipy import stats

from inversescope.statistics import corrected, entropy, mean, shares

TARGETS = 20


def covered(found: list[tuple[float, float, float]], truth: float) -> float:
    """How often the interval holds the truth."""
    return float(np.mean([low <= truth <= high for _, low, high in found]))


def test_the_interval_of_a_mean_is_students():
    values = np.array([0.2, 0.5, np.nan, 0.9, 0.4])
    kept = values[~np.isnan(values)]
    low, high = stats.t.interval(0.95, 3, kept.mean(), stats.sem(kept))
    assert mean(values) == pytest.approx((0.5, low, high))


def test_the_interval_of_a_mean_is_cut_to_the_range_that_exists():
    assert mean(np.array([0.0, 1.0, 1.0]), 0, 1) == pytest.approx((2 / 3, 0, 1))


def test_what_is_undefined_stays_nan():
    nothing, one = np.array([np.nan, np.nan]), np.array([np.nan, 0.3])
    assert np.isnan(mean(nothing)).all()
    assert mean(np.array([])) == pytest.approx((np.nan,) * 3, nan_ok=True)
    assert mean(one) == pytest.approx((0.3, np.nan, np.nan), nan_ok=True)
    assert np.isnan(corrected(nothing, np.array([0.5, 0.5]), 0)).all()
    assert corrected(one, np.array([0.5, 0.2]), 0) == pytest.approx((0.125, np.nan, np.nan), nan_ok=True)
    assert np.isnan(corrected(np.ones(4), np.ones(4), 0)).all()  # one value only: chance is certainty


def test_intervals_of_means_cover_as_often_as_they_claim():
    rng = np.random.default_rng(1)
    # The share of a label among 16 samples of a target; targets differ, as they do in real sites.
    simulated = rng.binomial(16, rng.beta(2, 1.5, (2000, TARGETS))) / 16
    assert 0.92 <= covered([mean(row, 0, 1) for row in simulated], 2 / 3.5) <= 0.98


def test_intervals_of_corrected_scores_cover_as_often_as_they_claim():
    rng = np.random.default_rng(2)
    prior, kept = np.array([0.5, 0.3, 0.2]), 0.6  # a target's label, and how often the site tells it outright
    truth = kept  # consistency = kept + (1 − kept)·chance, so κ = kept whatever the labels are

    def once(seed: int) -> tuple[float, float, float]:
        chance = prior[rng.choice(3, TARGETS, p=prior)]
        consistency = rng.binomial(16, kept + (1 - kept) * chance) / 16
        return corrected(np.where(rng.random(TARGETS) < 0.1, np.nan, consistency), chance, seed)

    assert 0.92 <= covered([once(seed) for seed in range(500)], truth) <= 0.98


def test_the_corrected_score_is_a_ratio_of_sums():
    value, low, high = corrected(np.array([0.9, 0.6]), np.array([0.8, 0.5]), 0)
    assert value == pytest.approx((0.1 + 0.1) / (0.2 + 0.5))
    assert low == pytest.approx(0.1 / 0.5)  # a resample holds one target, the other, or both
    assert high == pytest.approx(0.1 / 0.2)


def test_chance_scores_zero_and_certainty_one():
    chance = np.array([0.2, 0.7, 0.5])
    assert corrected(chance, chance, 0) == pytest.approx((0, 0, 0))
    assert corrected(np.ones(3), chance, 0) == pytest.approx((1, 1, 1))


def test_entropy_of_known_shares():
    table = np.array([[0.5, 0.5, 0, 0], [1, 0, 0, 0], [0.25, 0.25, 0.25, 0.25], [np.nan] * 4])
    many = np.full(4, 1e12)
    assert entropy(table, many) == pytest.approx([1, 0, 2, np.nan], nan_ok=True)
    few = np.array([4.0, 4.0, 8.0, 0.0])
    expected = [1 + 1 / 8 / np.log(2), 0, 2 + 3 / 16 / np.log(2), np.nan]  # (K − 1) / 2n nats
    assert entropy(table, few) == pytest.approx(expected, nan_ok=True)


def test_entropy_loses_its_bias_on_average():
    p = np.array([0.5, 0.3, 0.2])
    truth = -(p * np.log2(p)).sum()
    counts = np.random.default_rng(3).multinomial(30, p, 40_000) / 30
    plain = entropy(counts, np.full(len(counts), 1e12)).mean() - truth
    corrected = entropy(counts, np.full(len(counts), 30.0)).mean() - truth
    assert plain < -0.03
    assert abs(corrected) < 0.1 * abs(plain)


def counted(labels: list[int], weights: list[float], count: int) -> list[float]:
    """Shares by going through the inputs one at a time."""
    total = sum(weight for label, weight in zip(labels, weights, strict=True) if label >= 0)
    sums = [sum(w for label, w in zip(labels, weights, strict=True) if label == value) for value in range(count)]
    return [value / total if total else np.nan for value in sums]


@given(st.data(), st.integers(1, 4), st.integers(1, 6), st.integers(1, 3))
def test_shares_are_what_counting_gives(data: st.DataObject, targets: int, n: int, count: int):
    def table(elements: st.SearchStrategy) -> list[list]:
        return data.draw(st.lists(st.lists(elements, min_size=n, max_size=n), min_size=targets, max_size=targets))

    labels, weights = table(st.integers(-1, count - 1)), table(st.sampled_from([0.0, 0.25, 1.0, 3.0]))
    found: ndarray = shares(np.array(labels), np.array(weights), count)
    expected = [counted(*row, count) for row in zip(labels, weights, strict=True)]
    assert found == pytest.approx(np.array(expected), nan_ok=True)
