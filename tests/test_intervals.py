"""Intervals against known formulas, entropies without their bias, shares against counting; undefined stays NaN."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray
from scipy import stats

from inversescope.stats.intervals import corrected, mean, paired
from inversescope.stats.labels import entropy, label_shares


def test_the_interval_of_a_mean_is_students():
    values = np.array([0.2, 0.5, np.nan, 0.9, 0.4])
    kept = values[~np.isnan(values)]
    low, high = stats.t.interval(0.95, 3, kept.mean(), stats.sem(kept))
    assert mean(values) == pytest.approx((0.5, low, high))


def test_a_rate_of_yes_or_no_answers_has_wilsons_interval():
    answers = np.array([1.0] * 12 + [0.0] * 8)
    centre, square = 0.6 + 1.96**2 / 40, 1.96**2 / 20
    margin = 1.96 * (0.6 * 0.4 / 20 + 1.96**2 / 1600) ** 0.5
    expected = (0.6, (centre - margin) / (1 + square), (centre + margin) / (1 + square))
    assert mean(answers, 0, 1) == pytest.approx(expected, abs=1e-4)


def test_targets_that_all_agree_are_not_taken_for_certainty():
    for targets, low in ((2, 0.34), (10, 0.72), (24, 0.86)):  # of n right answers in n, Wilson: n / (n + 1.96²)
        assert mean(np.ones(targets), 0, 1) == pytest.approx((1, low, 1), abs=0.005)
        assert mean(np.zeros(targets), 0, 1) == pytest.approx((0, 0, 1 - low), abs=0.005)
        assert corrected(np.ones(targets), np.full(targets, 0.5)).low == pytest.approx(2 * low - 1, abs=0.01)
    value, low, high = paired(np.full(10, 0.7), np.full(10, 0.7))
    assert low < value == 0 < high


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30))
def test_the_interval_of_a_rate_holds_it_and_stays_within_its_range(values: list[float]):
    value, low, high = mean(np.array(values), 0, 1)
    assert 0 <= low <= value + 1e-12
    assert value - 1e-12 <= high <= 1
    assert high - low > 1e-4
    mirrored = mean(1 - np.array(values), 0, 1)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - high, 1 - low), abs=1e-6)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30))
def test_where_nothing_is_expected_by_chance_the_corrected_score_is_the_rate(values: list[float]):
    rates = np.array(values)
    assert corrected(rates, np.zeros(len(rates))) == pytest.approx(mean(rates, 0, 1), abs=1e-9)


def test_an_interval_holds_a_mean_beyond_the_range_too():
    """The correction for few samples may take an entropy beyond that of even labels, and the bits below their least."""
    value, low, high = mean(np.full(24, -0.18), 0, 1)
    assert low == value == pytest.approx(-0.18) and 0 < high < 0.2


def test_differences_are_of_the_targets_that_have_both():
    one, other = np.array([0.9, np.nan, 0.5, 0.7, 0.8]), np.array([0.6, 0.1, np.nan, 0.5, 0.5])
    value, low, high = paired(one, other)
    assert value == pytest.approx((0.3 + 0.2 + 0.3) / 3)
    assert low < value < high
    assert paired(other, one) == pytest.approx((-value, -high, -low))
    assert np.isnan(paired(one, np.full(5, np.nan))).all()


def test_what_is_undefined_stays_nan():
    nothing, one = np.array([np.nan, np.nan]), np.array([np.nan, 0.3])
    assert np.isnan(mean(nothing)).all()
    assert mean(np.array([])) == pytest.approx((np.nan,) * 3, nan_ok=True)
    assert mean(one) == pytest.approx((0.3, np.nan, np.nan), nan_ok=True)
    assert np.isnan(corrected(nothing, np.array([0.5, 0.5]))).all()
    assert corrected(one, np.array([0.5, 0.2])) == pytest.approx((0.125, np.nan, np.nan), nan_ok=True)
    assert np.isnan(corrected(np.ones(4), np.ones(4))).all()  # one value only: chance is certainty


def test_the_corrected_score_is_a_ratio_of_means():
    consistency, chance = np.array([0.9, 0.6, 0.7, np.nan]), np.array([0.8, 0.5, 0.1, 0.3])
    value, low, high = corrected(consistency, chance)
    assert value == pytest.approx((0.1 + 0.1 + 0.6) / (0.2 + 0.5 + 0.9))
    assert low < value < high


def test_chance_scores_zero_and_certainty_one():
    chance = np.array([0.2, 0.7, 0.5])
    value, low, high = corrected(chance, chance)
    assert value == pytest.approx(0)
    assert low < 0 < high
    value, low, high = corrected(np.ones(3), chance)
    mean_chance = corrected(np.ones(3), np.full(3, chance.mean()))
    assert (value, high) == (1, 1) and -0.1 < low < 0 and low == pytest.approx(mean_chance.low)


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
    found: ndarray = label_shares(np.array(labels), np.array(weights), count)
    expected = [counted(*row, count) for row in zip(labels, weights, strict=True)]
    assert found == pytest.approx(np.array(expected), nan_ok=True)
