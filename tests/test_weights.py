"""The kernel, weights that sum to one, and the effective sample size: known values and what never changes them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from inversescope.weights import effective_sample_size, log_importance, log_kernel, normalise

logs = arrays.arrays(float, st.integers(1, 12), elements=st.floats(-50, 50) | st.just(-np.inf))
positive = arrays.arrays(float, st.integers(1, 12), elements=st.floats(0.01, 100))


def test_the_kernel_is_gaussian_in_distance_over_bandwidth():
    assert np.exp(log_kernel(np.array([0.0, 0.2, 0.4]), 0.2)) == pytest.approx([1, np.exp(-0.5), np.exp(-2)])
    assert log_kernel(np.array([0.3, 0.3]), np.array([0.1, 0.3])) == pytest.approx([-4.5, -0.5])


def test_importance_is_prior_times_kernel_over_q():
    prior, q, distances = np.array([0.5, 0.25, 0.25]), np.array([0.1, 0.6, 0.3]), np.array([0.1, 0.0, 0.5])
    weights = normalise(log_importance(distances, 0.25, np.log(prior), np.log(q)))
    products = prior * np.exp(-((distances / 0.25) ** 2) / 2) / q
    assert weights == pytest.approx(products / products.sum())


def test_an_input_that_the_prior_does_not_have_weighs_nothing():
    logs = log_importance(np.zeros(2), 0.1, np.array([-1.0, -np.inf]), np.zeros(2))
    assert normalise(logs).tolist() == [1, 0]


def test_weights_keep_the_ratios_and_each_row_sums_to_one():
    weights = normalise(np.log([[1.0, 3.0], [5.0, 5.0]]))
    assert weights == pytest.approx(np.array([[0.25, 0.75], [0.5, 0.5]]))


def test_where_nothing_has_weight_all_weights_are_zero():
    weights = normalise(np.array([[-np.inf, -np.inf], [0.0, -np.inf]]))
    assert weights.tolist() == [[0, 0], [1, 0]]
    assert effective_sample_size(weights).tolist() == [0, 1]


def test_logs_far_below_the_smallest_number_are_no_problem():
    assert normalise(np.array([-5000.0, -5000.0, -6000.0])).tolist() == [0.5, 0.5, 0]


def test_effective_sample_size_of_known_weights():
    weights = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [0, 3, 3, 0], [2, 1, 1, 0]])
    assert effective_sample_size(weights.astype(float)) == pytest.approx([4, 1, 2, 16 / 6])


@given(logs, st.floats(-1000, 1000))
def test_shifting_the_logs_changes_nothing(logs: np.ndarray, shift: float):
    assert normalise(logs + shift) == pytest.approx(normalise(logs), abs=1e-9)


@given(logs)
def test_weights_sum_to_one_or_are_all_zero(logs: np.ndarray):
    assert normalise(logs).sum() == pytest.approx(float(np.isfinite(logs).any()))


@given(positive, st.floats(0.001, 1000))
def test_effective_sample_size_lies_between_one_and_n_and_knows_no_scale(weights: np.ndarray, scale: float):
    size = float(effective_sample_size(weights))
    assert 1 - 1e-9 <= size <= len(weights) + 1e-9
    assert float(effective_sample_size(scale * weights)) == pytest.approx(size)


@given(positive)
def test_each_weight_given_as_two_halves_doubles_the_size(weights: np.ndarray):
    assert float(effective_sample_size(np.r_[weights, weights])) == pytest.approx(2 * effective_sample_size(weights))
