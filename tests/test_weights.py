"""The kernel, smoothing, the effective sample size, resampling: known values and what never changes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from arviz_stats.base.array import BaseArray
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from toy_world import COUNTS, INPUTS, LAST, PRIOR, posterior, read, rows

from inversescope.collect.distance import Distance
from inversescope.sites import Site
from inversescope.stats import weights as module
from inversescope.stats.kernel import Kernel
from inversescope.stats.weights import (
    effective_sample_size,
    importance_weights,
    largest_reliable_shape,
    normalise,
    pareto_smoothed,
    systematic,
)
from inversescope.units import Units

logs = arrays.arrays(float, st.integers(1, 12), elements=st.floats(-50, 50) | st.just(-np.inf))
positive = arrays.arrays(float, st.integers(1, 12), elements=st.floats(0.01, 100))


def test_the_kernel_is_gaussian_in_distance_over_bandwidth():
    assert np.exp(Kernel.GAUSSIAN.log(np.array([0.0, 0.2, 0.4]), 0.2)) == pytest.approx([1, np.exp(-0.5), np.exp(-2)])
    assert Kernel.GAUSSIAN.log(np.array([0.3, 0.3]), np.array([0.1, 0.3])) == pytest.approx([-4.5, -0.5])


def test_importance_is_prior_times_kernel_over_the_chance_of_being_drawn():
    prior, q, distances = np.array([0.5, 0.25, 0.25]), np.array([0.1, 0.6, 0.3]), np.array([0.1, 0.0, 0.5])
    weights, *_ = importance_weights(Kernel.GAUSSIAN.log_posterior(distances, 0.25, np.log(prior)), np.log(q), "abc")
    products = prior * np.exp(-((distances / 0.25) ** 2) / 2) / (1 - (1 - q) ** 3)
    assert weights == pytest.approx(products / products.sum())


def test_the_posterior_is_prior_times_kernel_and_sums_to_one():
    prior, distances = np.array([0.5, 0.25, 0.25]), np.array([[0.1, 0.0, np.inf], [np.inf] * 3])
    found = Kernel.GAUSSIAN.posterior(distances, 0.1, np.log(prior))
    products = np.array([0.5 * np.exp(-0.5), 0.25, 0])
    assert found[0] == pytest.approx(products / products.sum())
    assert found[1].tolist() == [0, 0, 0]


def test_an_input_that_was_drawn_twice_counts_once():
    q = np.log([0.3, 0.3, 0.2])
    weights, *_ = importance_weights(np.zeros(3), q, "aab")
    once = 1 / (1 - 0.7**3), 1 / (1 - 0.8**3)
    assert weights == pytest.approx(np.array([once[0], 0, once[1]]) / sum(once))


def test_what_the_prior_does_not_have_and_what_was_not_verified_weighs_nothing():
    logs = Kernel.GAUSSIAN.log_posterior(np.array([0.0, 0.0, np.nan]), 0.1, np.array([-1.0, -np.inf, -1.0]))
    assert importance_weights(logs, np.full(3, -1.0), "abc")[0].tolist() == [1, 0, 0]
    assert importance_weights(logs[1:], np.full(2, -1.0), "bc")[0].tolist() == [0, 0]


def test_inputs_that_are_certain_or_next_to_impossible_to_be_drawn_are_no_problem():
    assert importance_weights(np.zeros(2), np.zeros(2), "aa")[0].tolist() == [1, 0]
    never = np.array([-5000.0, -5000.0 - np.log(3)])
    assert importance_weights(np.zeros(2), never, "ab")[0] == pytest.approx([0.25, 0.75])


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


# Pareto smoothing


def exact(log_weights: np.ndarray) -> tuple[np.ndarray, float]:
    """The oracle: PSIS as ArviZ has it, which takes the logs negated."""
    logs, shape = BaseArray().psislw(-log_weights)
    return np.exp(logs), float(shape)


def smooth(log_weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Smoothed weights of sum one."""
    smoothed, shape = pareto_smoothed(normalise(log_weights))
    return smoothed / (smoothed.sum() or 1), shape


@pytest.mark.parametrize("n", [25, 30, 50, 100, 400])
@pytest.mark.parametrize("spread", [0.1, 1.0, 3.0, 10.0])
def test_smoothing_is_that_of_arviz(n: int, spread: float, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "RESOLUTION", 0.0)  # which ArviZ does not have
    rng = np.random.default_rng([n, round(10 * spread)])
    for logs in (spread * rng.normal(size=n), spread * rng.standard_t(2, n), spread * rng.exponential(size=n)):
        smoothed, shape = smooth(logs)
        expected, expected_shape = exact(logs)
        assert smoothed == pytest.approx(expected, rel=1e-6, abs=1e-12)
        assert shape == pytest.approx(expected_shape, abs=1e-6)


@given(st.integers(0, 10_000), st.integers(1, 60), st.floats(-300, 300))
def test_smoothing_knows_no_scale_and_no_order(seed: int, n: int, shift: float):
    rng = np.random.default_rng(seed)
    logs = rng.choice(3 * rng.normal(size=max(n // 2, 1)), n)  # some come twice
    order = rng.permutation(n)
    weights, shape = smooth(logs)
    for (others, again), expected in (
        (smooth(logs + shift), weights),
        (smooth(logs[order]), weights[order]),
    ):
        assert others == pytest.approx(expected, abs=1e-9)
        assert again == pytest.approx(shape, nan_ok=True, abs=1e-6)
    assert weights.sum() == pytest.approx(1)
    for value in np.unique(logs):
        assert np.ptp(weights[logs == value]) < 1e-15  # equal weights stay equal


@pytest.mark.parametrize(
    "logs",
    [
        np.zeros(1),
        np.arange(10.0),  # too few
        np.zeros(100),
        np.r_[np.zeros(50), np.full(50, -3.0)],  # the largest are alike
        np.r_[np.full(76, -3.0), np.zeros(24)],
        np.r_[np.zeros(90), np.full(10, 1e-6) * np.arange(10)],  # but for rounding
        np.r_[np.full(96, -1.0), np.arange(4.0)],  # too few stand out
        np.r_[np.full(96, -np.inf), np.zeros(4)],
        np.full(100, -np.inf),
    ],
)
def test_without_a_tail_to_fit_the_weights_stay_as_they_are(logs: np.ndarray):
    weights, shape = smooth(logs)
    assert np.isnan(shape)
    assert weights == pytest.approx(normalise(logs), abs=1e-15)


def test_what_weighs_nothing_goes_on_weighing_nothing():
    logs = np.r_[np.full(60, -np.inf), np.random.default_rng(0).normal(size=40)]
    weights, shape = smooth(logs)
    assert np.isfinite(shape)
    assert np.all(weights[:60] == 0)


def test_the_shape_is_that_of_the_tail():
    """Weights 1/u^k have the tail of shape k."""
    u = (np.arange(10_000) + 0.5) / 10_000
    for shape in (0.2, 0.5, 0.9):
        assert smooth(-shape * np.log(u))[1] == pytest.approx(shape, abs=0.03)


def test_smoothing_comes_nearer_to_the_truth_where_the_tail_is_heavy():
    """E x = 1 of an exponential with rate 1, from draws of rate 3: k = 2/3, the paper's own example."""
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(400):
        x = rng.exponential(1 / 3, 100)
        logs = 2 * x
        errors.append([normalise(logs) @ x - 1, smooth(logs)[0] @ x - 1])
    raw, smoothed = np.sqrt((np.array(errors) ** 2).mean(0))
    assert smoothed < raw


def test_the_largest_reliable_shape_grows_with_the_number_of_draws():
    assert [largest_reliable_shape(n) for n in (10, 100, 10**6)] == pytest.approx([0, 0.5, 0.7])


# The correction as a whole


def few_inputs(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A posterior over twelve inputs, a generator that is wrong about it, and a number to take the mean of."""
    return rng.dirichlet(np.ones(12)), (rng.dirichlet(np.ones(12)) + 1 / 12) / 2, rng.normal(size=12)


@pytest.mark.parametrize("seed", range(4))
def test_a_wrong_generator_is_corrected_and_counting_each_input_once_comes_nearer(seed: int):
    rng = np.random.default_rng(seed)
    truth, q, value = few_inputs(rng)
    errors = []
    for _ in range(300):
        drawn = rng.choice(12, 60, p=q)
        logs, log_q = np.log(truth)[drawn], np.log(q)[drawn]
        weights, *_ = importance_weights(logs, log_q, drawn.tolist())
        errors.append(
            [w @ value[drawn] - truth @ value for w in (weights, normalise(logs - log_q), np.full(60, 1 / 60))]
        )
    once, by_count, as_they_come = np.sqrt((np.array(errors) ** 2).mean(0))
    assert once < min(0.9 * by_count, as_they_come)


@pytest.mark.parametrize("site", [COUNTS, LAST])
@pytest.mark.parametrize("h", [0.1, 0.5])
def test_where_all_inputs_are_found_the_answer_is_exact(site: Site, h: float):
    """In a world that can be enumerated, from a generator that knows nothing of the target."""
    z = torch.tensor([read(x)[site] for x in INPUTS])
    delta = Distance.of("standardized", Units.of(torch.tensor([read(x)[site] for x in rows()])))
    q = np.array([1, 2, 3, 4, 5, 6, 7, 8]) / 36
    drawn = np.random.default_rng(0).choice(8, 2000, p=q)
    for target in range(8):
        distances = delta.between(z, z[target : target + 1])[:, 0].double().numpy()[drawn]
        logs = Kernel.GAUSSIAN.log_posterior(distances, h, np.log(list(PRIOR.values()))[drawn])
        weights, *_ = importance_weights(logs, np.log(q)[drawn], drawn.tolist())
        assert np.bincount(drawn, weights) == pytest.approx(posterior(z[target].numpy(), site, h), abs=1e-4)


# Resampling


@given(positive, st.integers(0, 60), st.integers(0, 10_000))
def test_each_weight_comes_up_as_often_as_it_says_within_one(weights: np.ndarray, n: int, seed: int):
    places = systematic(weights, n, np.random.default_rng(seed))
    counts = np.bincount(places, minlength=len(weights))
    assert counts.sum() == n
    assert np.all(np.abs(counts - n * weights / weights.sum()) < 1 + 1e-9)


def test_resampling_has_no_bias():
    weights, rng = np.array([0.45, 0.0, 0.35, 0.2]), np.random.default_rng(0)
    counts = [np.bincount(systematic(weights, 3, rng), minlength=4) for _ in range(4000)]
    assert np.mean(counts, 0) == pytest.approx(3 * weights, abs=0.03)
    assert np.sum(counts, 0)[1] == 0
