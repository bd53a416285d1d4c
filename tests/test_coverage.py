"""What the statistics claim, simulated: intervals that hold the truth as often as they say, p-values that are uniform
where there is nothing to find, and false discoveries no more often than allowed.

Targets have rates of their own and a few to many samples each, as a site's targets do.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy import ndarray
from scipy import stats

from inversescope.stats.design import half_width, intraclass_correlation, targets_needed
from inversescope.stats.intervals import Estimate, corrected, mean, paired
from inversescope.stats.labels import entropy, label_shares
from inversescope.stats.resampling import q_values, shuffle_test, sign_test

GRID = [(targets, samples) for targets in (10, 50, 200) for samples in (1, 2, 5, 20, 100)]
RATES = {"moderate": (0.3, 0.7), "nearly always": (0.8, 0.97), "seldom": (0.05, 0.2)}
PRIORS = {
    "many labels": np.full(30, 1 / 30),
    "three": np.array([0.5, 0.3, 0.2]),
    "two": np.array([0.7, 0.3]),
}
# How a corrected score of κ comes about: the same for all labels, another for each, or chance that varies by target.
MODELS = ("alike", "by label", "chance")


def spread(rates: ndarray, alike: float, rng: np.random.Generator) -> ndarray:
    """Rates of targets around these, with an intraclass correlation of `alike`."""
    known = 1 / alike - 1
    return rng.beta(rates * known, (1 - rates) * known)


def rates(name: str, targets: int, samples: int, rng: np.random.Generator) -> tuple[ndarray, float]:
    """A rate for each target, as its samples show it, and the mean that they scatter around."""
    truth = rng.uniform(*RATES[name])
    each = spread(np.full(targets, truth), rng.uniform(0.02, 0.9), rng)
    return rng.binomial(samples, each) / samples, truth


def consistencies(
    prior: ndarray, model: str, targets: int, samples: int, rng: np.random.Generator
) -> tuple[ndarray, ndarray, float]:
    """Consistency and chance of targets with labels from a prior, and the corrected score behind them."""
    labels, alike = rng.choice(len(prior), targets, p=prior), rng.uniform(0.02, 0.9)
    chance = prior[labels]
    if model == "chance":
        each, truth = spread(chance, alike, rng), 0.0
    else:
        told = np.full(len(prior), rng.uniform(0.1, 0.95)) if model == "alike" else rng.uniform(0.02, 0.98, len(prior))
        each = chance + (1 - chance) * spread(told[labels], alike, rng)
        truth = float((told * prior * (1 - prior)).sum() / (prior * (1 - prior)).sum())
    return rng.binomial(samples, each) / samples, chance, truth


def coverage(once: Callable[[], tuple[Estimate, float]], times: int) -> float:
    """How often the interval holds the truth."""
    found = [once() for _ in range(times)]
    return float(np.mean([low - 1e-9 <= truth <= high + 1e-9 for (_, low, high), truth in found]))


@pytest.mark.parametrize(("targets", "samples"), GRID)
def test_intervals_of_rates_cover(targets: int, samples: int):
    rng = np.random.default_rng([1, targets, samples])

    def once(name: str) -> tuple[Estimate, float]:
        seen, truth = rates(name, targets, samples, rng)
        return mean(seen, 0, 1), truth

    found = [coverage(lambda name=name: once(name), 500) for name in RATES]
    assert 0.93 <= np.mean(found) <= 0.97
    assert min(found) > 0.92  # its standard error is 1%
    assert max(found) < 0.985


@pytest.mark.parametrize(("targets", "samples"), GRID)
def test_intervals_of_corrected_scores_cover(targets: int, samples: int):
    rng = np.random.default_rng([2, targets, samples])

    def once(prior: ndarray, model: str) -> tuple[Estimate, float]:
        consistency, chance, truth = consistencies(prior, model, targets, samples, rng)
        return corrected(consistency, chance), truth

    found = [coverage(lambda p=p, m=m: once(p, m), 160) for p in PRIORS.values() for m in MODELS]
    assert 0.93 <= np.mean(found) <= 0.97
    assert min(found) > 0.88  # its standard error is 1.8%


@pytest.mark.parametrize(("targets", "samples"), GRID)
def test_intervals_of_differences_cover(targets: int, samples: int):
    rng = np.random.default_rng([3, targets, samples])

    def once() -> tuple[Estimate, float]:
        base = spread(np.full(targets, 0.6), 0.2, rng)  # what makes a target easy makes it so for both
        both = base, np.minimum(base + 0.15, 1 - 1e-6)
        one, other = (rng.binomial(samples, spread(each, 0.1, rng)) / samples for each in both)
        return paired(other, one), TRUE_DIFFERENCE

    assert 0.93 <= coverage(once, 600) <= 0.97


TRUE_DIFFERENCE = float(np.mean(np.minimum(0.15, 1 - np.random.default_rng(0).beta(2.4, 1.6, 4_000_000))))


@pytest.mark.parametrize(("targets", "samples"), [(10, 20), (10, 100), (50, 20), (50, 100), (200, 100)])
def test_intervals_of_bits_cover_where_there_are_samples_enough_to_tell_an_entropy(targets: int, samples: int):
    rng = np.random.default_rng([4, targets, samples])
    truth = 1 - TRUE_ENTROPY

    def once() -> tuple[Estimate, float]:
        drawn = rng.random((targets, samples)) > rng.beta(0.6, 0.6, targets)[:, None]
        table = label_shares(drawn.astype(int), np.ones(drawn.shape), 2)
        left = entropy(table, np.full(targets, float(samples)))
        return mean(1 - left, 0, 1), truth

    assert 0.93 <= coverage(once, 600) <= 0.97


_P = np.random.default_rng(0).beta(0.6, 0.6, 1_000_000)
TRUE_ENTROPY = float(-np.mean(_P * np.log2(_P) + (1 - _P) * np.log2(1 - _P)))


def nothing_to_find(prior: ndarray, targets: int, samples: int, rng: np.random.Generator) -> tuple[ndarray, ndarray]:
    """Shares of each label among samples that differ between targets, but not with the targets' own labels."""
    each = rng.dirichlet(5 * prior + 0.1, targets)
    drawn = np.array([rng.multinomial(samples, row) for row in each]) / samples
    return drawn, rng.choice(len(prior), targets, p=prior)


@pytest.mark.parametrize(
    ("prior", "targets", "samples"),
    [
        (np.array([0.5, 0.3, 0.2]), 24, 16),
        (np.array([0.94, 0.06]), 24, 16),  # most targets have the same label, most shuffles tie
        (np.array([0.7, 0.3]), 10, 1),  # one sample each
        (np.array([0.5, 0.5]), 3, 2),  # six ways to deal out the samples
        (np.full(30, 1 / 30), 60, 4),
    ],
)
def test_p_values_are_uniform_where_there_is_nothing_to_find(prior: ndarray, targets: int, samples: int):
    rng = np.random.default_rng([5, targets, samples])
    found = [shuffle_test(*nothing_to_find(prior, targets, samples, rng), 0, rng) for _ in range(500)]
    tested = np.array(found)[~np.isnan(found)]
    assert len(tested) > 100
    assert ((tested > 0) & (tested < 1)).all()
    assert stats.kstest(tested, "uniform").pvalue > 0.01


@pytest.mark.parametrize("targets", [1, 4, 25])
def test_p_values_of_the_sign_test_are_uniform_where_signs_are_a_coins(targets: int):
    rng = np.random.default_rng([6, targets])
    found = [sign_test(rng.choice([-2.0, 0.0, 0.5, np.nan, 1.5, -0.1], targets), rng) for _ in range(1000)]
    tested = np.array(found)[~np.isnan(found)]
    assert stats.kstest(tested, "uniform").pvalue > 0.01


def test_the_sign_test_is_exact():
    class Last(np.random.Generator):
        """Breaks every tie so that p is largest: what the test says unrandomised."""

        def random(self, *_: object) -> float:  # pyright: ignore[reportIncompatibleMethodOverride]
            return 0.0

    for above, below in ((7, 1), (4, 4), (0, 5), (10, 3)):
        differences = np.array([1.0] * above + [-1.0] * below + [0.0])
        expected = stats.binomtest(above, above + below).pvalue
        assert sign_test(differences, Last(np.random.PCG64())) == pytest.approx(expected)


def test_what_cannot_be_tested_is_nan():
    rng = np.random.default_rng(0)
    table = rng.dirichlet(np.ones(2), 6)
    nothing = np.full((6, 2), np.nan)
    assert np.isnan(shuffle_test(table, np.zeros(6, int), 0, rng))  # one label
    assert np.isnan(shuffle_test(table, np.full(6, -1), 0, rng))  # no label
    assert np.isnan(shuffle_test(nothing, np.array([0, 1] * 3), 0, rng))
    assert np.isnan(shuffle_test(np.tile(table[:1], (6, 1)), np.array([0, 1] * 3), 0, rng))  # all samples alike
    assert np.isnan(sign_test(np.array([0.0, np.nan]), rng))
    found = q_values(np.array([0.01, np.nan, 0.04, 0.5]))
    assert found == pytest.approx([0.03, np.nan, 0.06, 0.5], nan_ok=True)
    assert np.isnan(q_values(np.array([np.nan]))).all()


def planted(told: float, prior: ndarray, targets: int, samples: int, rng: np.random.Generator) -> float:
    """p of a row whose samples have their target's label by a chance of `told` more than the prior says."""
    noise, labels = nothing_to_find(prior, targets, samples, rng)
    return shuffle_test((1 - told) * noise + told * np.eye(len(prior))[labels], labels, 0, rng)


def test_what_is_encoded_is_found_however_skewed_the_labels():
    rng = np.random.default_rng(7)
    for prior in (np.array([0.5, 0.3, 0.2]), np.array([0.85, 0.15])):
        found = np.array([planted(0.5, prior, 24, 16, rng) for _ in range(60)])
        assert np.mean(found[~np.isnan(found)] < 0.05) > 0.9


def test_false_discoveries_are_no_more_than_allowed():
    """40 rows of which 10 encode something, again and again: at q <= 0.1 a tenth of the discoveries are false."""
    rng, prior, level = np.random.default_rng(8), np.array([0.6, 0.3, 0.1]), 0.1
    false, found = [], []
    for _ in range(60):
        p = [planted(0.3 if row < 10 else 0.0, prior, 16, 8, rng) for row in range(40)]
        discovered = q_values(np.array(p)) <= level
        false.append(discovered[10:].sum() / max(1, discovered.sum()))
        found.append(discovered[:10].mean())
    assert np.mean(false) <= level * 0.75 + 3 * np.std(false) / 60**0.5  # three quarters of the rows are null
    assert np.mean(found) > 0.5


def test_the_planned_width_is_the_width_that_comes_out():
    rng = np.random.default_rng(9)
    for targets, samples, alike, rate in ((50, 8, 0.3, 0.8), (24, 16, 0.1, 0.5), (200, 4, 0.6, 0.3)):
        seen = [rng.binomial(samples, spread(np.full(targets, rate), alike, rng)) / samples for _ in range(200)]
        widths = [(high - low) / 2 for _, low, high in (mean(row, 0, 1) for row in seen)]
        assert half_width(rate, alike, targets, samples) == pytest.approx(np.mean(widths), rel=0.08)
        sizes = np.full(targets, float(samples))
        found = np.mean([intraclass_correlation(row, sizes) for row in seen])
        assert found == pytest.approx(alike, abs=0.03)


def test_the_fewest_targets_are_just_enough():
    for rate, alike, samples, width in ((0.8, 0.3, 8, 0.1), (0.5, 0.0, 64, 0.2), (0.5, 1.0, 4, 0.02)):
        needed = targets_needed(rate, alike, samples, width)
        assert half_width(rate, alike, needed, samples) <= width
        assert needed == 2 or half_width(rate, alike, needed - 1, samples) > width


def test_how_alike_samples_are_is_undefined_where_nothing_varies():
    many = np.full(6, 8.0)
    assert np.isnan(intraclass_correlation(np.ones(6), many))
    assert np.isnan(intraclass_correlation(np.array([0.5] + [np.nan] * 5), many))
    assert intraclass_correlation(np.array([0.0, 1.0] * 3), many) == 1
    assert intraclass_correlation(np.full(6, 0.5), many) == 0
