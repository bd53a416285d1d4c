"""Tests that shuffle, resample or flip targets: exact p-values, q-values, and the cluster bootstrap.

The targets are the independent units. Undefined is NaN.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy import stats

from inversescope.stats.intervals import UNDEFINED, Estimate, t_quantile
from inversescope.streams import Stream

SHUFFLES = 9_999
ROUNDING = 1e-9  # sums that differ by less are equal


def shuffle_test(
    shares: Float[ndarray, "targets labels"], labels: Int[ndarray, " targets"], seed: int, rng: np.random.Generator
) -> float:
    """Exact p-value for targets that agree with their own samples more than with those of shuffled targets.

    `shares`: of each label among the samples of each target, NaN where they do not count; `labels`: the targets' own,
    −1 where undecided. If the samples do not depend on the target, each way to deal them out to the targets is
    as likely as the one found; p is the rank of the agreement found among shuffles of it, ties broken at random.
    So it is uniform on (0, 1) whatever the distributions and however few the samples (Dwass 1957). NaN where there is
    nothing to tell apart: fewer than two targets, all of one label, or all with the same shares.
    """
    kept = ~np.isnan(shares).any(1) & (labels >= 0)
    shares, labels = shares[kept], labels[kept]
    if len(labels) < 2 or (labels == labels[0]).all() or np.allclose(shares, shares[0]):
        return np.nan
    agreement = shares[:, labels]  # of each target's samples with each target
    excess = agreement.ravel().take(_shuffles(len(labels), seed)).sum(1) - np.trace(agreement)
    higher, equal = (excess > ROUNDING).sum(), (abs(excess) <= ROUNDING).sum()
    return float((higher + (1 - rng.random()) * (equal + 1)) / (SHUFFLES + 1))


def sign_test(differences: Float[ndarray, " targets"], rng: np.random.Generator) -> float:
    """Exact two-sided p-value of a difference that is as often above zero as below, ties broken at random.

    Targets with NaN or exactly zero have no sign and are left out; NaN where none is left. Nothing is
    assumed but that targets are independent. Breaking ties makes p uniform on (0, 1) in place of discrete.
    """
    signs = np.sign(differences[~np.isnan(differences) & (differences != 0)])
    if len(signs) == 0:
        return np.nan
    n, rarer = len(signs), min((signs > 0).sum(), (signs < 0).sum())
    sides = 1 if 2 * rarer == n else 2
    beyond, here = 2 * stats.binom.cdf(rarer - 1, n, 0.5), sides * stats.binom.pmf(rarer, n, 0.5)
    return float(beyond + (1 - rng.random()) * here)


def q_values(p_values: Float[ndarray, " tests"]) -> Float[ndarray, " tests"]:
    """The smallest share of false discoveries at which each test is one (Benjamini and Hochberg 1995).

    NaN stands for a test that was not made: it stays NaN and does not count.
    """
    adjusted = np.full_like(p_values, np.nan)
    tested = ~np.isnan(p_values)
    if tested.any():
        adjusted[tested] = stats.false_discovery_control(p_values[tested])
    return adjusted


def ratio(above: Float[ndarray, " targets"], below: Float[ndarray, " targets"], seed: int) -> Estimate:
    """Σ above / Σ below over the targets where both are defined, with a cluster bootstrap interval (percentiles).

    Undefined where the sum below is not positive. The percentiles are expanded for the number of targets (Hesterberg
    2015, arXiv 1411.5279).
    """
    kept = ~np.isnan(above) & ~np.isnan(below)
    numbers = np.stack([above[kept], below[kept]])
    n = numbers.shape[1]
    if n == 0 or numbers[1].sum() <= 0:
        return UNDEFINED
    value = float(numbers[0].sum() / numbers[1].sum())
    if n == 1:
        return Estimate(value, np.nan, np.nan)
    counts = Stream.TARGETS.rng(seed, n).multinomial(n, np.full(n, 1 / n), size=1000)
    resampled, sums = numbers @ counts.T
    tail = 100 * stats.norm.cdf(-((n / (n - 1)) ** 0.5) * t_quantile(n - 1))
    low, high = np.percentile(resampled[sums > 0] / sums[sums > 0], [tail, 100 - tail])
    return Estimate(value, float(low), float(high))


def other_targets(n: int, seed: int) -> Int[ndarray, " n"]:
    """Another target for each of `n`, as a control: the next one in a random order. Targets are sorted, so that
    neighbours begin alike. A target alone stands for itself.
    """
    order = Stream.SHUFFLED.rng(seed).permutation(n)
    other = np.empty_like(order)
    other[order] = np.roll(order, 1)
    return other


@lru_cache
def _shuffles(n: int, seed: int) -> Int[ndarray, "shuffles n"]:
    """Permutations that deal samples out to `n` targets, as places in a flattened [n, n] table."""
    others = np.tile(np.arange(n), (SHUFFLES, 1))
    return np.arange(n) * n + Stream.TARGETS.rng(seed, n).permuted(others, axis=1)
