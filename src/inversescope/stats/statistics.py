"""What can be said of numbers that come one per target: means, intervals, entropies. Knows no model.

Targets are the independent units; the samples of one target are not. Dimensions: `targets`, `labels` of a feature.
Undefined is NaN here, and null in records.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy import special, stats

CONFIDENCE = 0.95
SHUFFLES = 9_999
FEWEST = 6  # numbers of a group from which its variance makes an interval; by simulation, docs/experiments.md
ROUNDING = 1e-9  # sums that differ by less are equal
UNSEEN = 0.15  # how soon a score interval allows for targets unlike any seen; by simulation, docs/experiments.md


class Estimate(NamedTuple):
    """A value and its 95% interval; NaN where undefined."""

    value: float
    low: float
    high: float


UNDEFINED = Estimate(np.nan, np.nan, np.nan)


def mean(per_target: Float[ndarray, " targets"], low: float = -np.inf, high: float = np.inf) -> Estimate:
    """Mean over the targets that are not NaN.

    Its interval is Student's t, or for numbers that lie between `low` and `high` a score interval (`_score_interval`),
    which stays inside of them and has a width even where all targets agree. With one target there is a value and no
    interval; with none, nothing.
    """
    values = per_target[~np.isnan(per_target)]
    if len(values) == 0:
        return UNDEFINED
    value = float(values.mean())
    if len(values) == 1:
        return Estimate(value, np.nan, np.nan)
    reach = high - low
    if not 0 < reach < np.inf:
        margin = _quantile(len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
        return Estimate(value, value - margin, value + margin)
    inside = np.clip((values - low) / reach, 0, 1)
    ends = _score_interval(float(inside.mean()), inside - inside.mean())
    return Estimate(value, *(low + reach * end for end in ends))


def paired(one: Float[ndarray, " targets"], other: Float[ndarray, " targets"]) -> Estimate:
    """How much higher `one` is than `other`, both rates from 0 to 1: mean over the targets that have both.

    For two sites, two sources of samples, two bandwidths: what a target has in common for both drops out.
    """
    return mean(one - other, -1, 1)


def corrected(consistency: Float[ndarray, " targets"], chance: Float[ndarray, " targets"]) -> Estimate:
    """κ = (FCR − FCR₀) / (1 − FCR₀) over the targets, with the interval of FCR carried over.

    0 is chance, 1 is fully determined; undefined where FCR₀ = 1. Targets with NaN are left out. 1 − κ is a ratio of
    means, (1 − c) over (1 − chance), so what varies is the residual (1 − c) − (1 − κ)(1 − chance). A bootstrap over
    the targets knows only values that it has seen, and covers 10-90% where most targets agree (docs/experiments.md).
    """
    kept = ~np.isnan(consistency) & ~np.isnan(chance)
    inconsistent, room = 1 - consistency[kept], 1 - chance[kept]
    if len(room) == 0 or room.sum() <= 0:
        return UNDEFINED
    ratio = inconsistent.mean() / room.mean()
    if len(room) == 1:
        return Estimate(1 - ratio, np.nan, np.nan)
    low, high = _score_interval(1 - float(inconsistent.mean()), inconsistent - ratio * room)
    return Estimate(float(1 - ratio), *(float(1 - (1 - end) / room.mean()) for end in (low, high)))


def shuffle_test(
    shares: Float[ndarray, "targets labels"], labels: Int[ndarray, " targets"], seed: int, rng: np.random.Generator
) -> float:
    """Whether targets agree with their own samples more than with those of shuffled targets: an exact p-value.

    `shares`: of each label among the samples of each target, NaN where they do not count; `labels`: the targets' own,
    −1 where undecided. Where the samples say nothing of the feature, each way to deal them out to the targets is
    as likely as the one that was; p is the rank of the agreement found among shuffles of it, ties broken at random.
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
    """Whether a difference is as often above zero as below: an exact two-sided p-value, ties broken at random.

    Targets with NaN or exactly zero say nothing of the sign and are left out; NaN where none is left. Nothing is
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
    """For each test the smallest share of false discoveries at which it is one (Benjamini and Hochberg 1995).

    NaN was not tested: it stays NaN and does not count.
    """
    found = np.full_like(p_values, np.nan)
    tested = ~np.isnan(p_values)
    if tested.any():
        found[tested] = stats.false_discovery_control(p_values[tested])
    return found


def intraclass_correlation(consistency: Float[ndarray, " targets"], sizes: Float[ndarray, " targets"]) -> float:
    """How alike the samples of one target are, 0 to 1: the share of rate·(1 − rate) that lies between targets.

    From each target's consistency and (effective) number of samples, by one-way analysis of variance: what the target
    means differ by, less what their samples alone would make them differ by. NaN where fewer than two targets have
    more than one sample, or all samples agree.
    """
    kept = ~np.isnan(consistency) & (sizes > 1)
    means, sizes = consistency[kept], sizes[kept]
    if len(means) < 2 or not 0 < means.mean() < 1:
        return np.nan
    within = means * (1 - means) / (sizes - 1)  # without bias for the variance that a mean has from its samples
    between = means.var(ddof=1) - within.mean()
    return float(np.clip(between / (means.mean() * (1 - means.mean())), 0, 1))


def half_width(rate: float, alike: float, targets: int, samples: int) -> float:
    """Half the width that the interval of a rate will have; `alike` is the intraclass correlation.

    `samples` of one target are worth samples / (1 + (samples − 1)·alike) independent ones (Kish 1965): beyond
    1 / alike more of them add little, and only targets help.
    """
    unseen = _unseen(rate * (1 - rate), targets)
    share = alike + (1 - alike) / samples
    low, high = _wilson(rate, unseen + (1 - unseen) * share, targets, targets - 1)
    return (high - low) / 2


def targets_needed(rate: float, alike: float, samples: int, width: float) -> int:
    """The fewest targets, two at least, with `samples` each, for an interval no wider than ± `width` (above 0)."""
    enough = 2
    while half_width(rate, alike, enough, samples) > width:
        enough *= 2
    candidates = range(max(2, enough // 2), enough + 1)
    return candidates[bisect_left(candidates, -width, key=lambda n: -half_width(rate, alike, n, samples))]


def shares(
    labels: Int[ndarray, "targets n"], weights: Float[ndarray, "targets n"], count: int
) -> Float[ndarray, "targets labels"]:
    """For each target, the weight of each of `count` labels among its decided inputs (label −1 is undecided).

    Rows sum to one; a row is NaN where nothing decided has weight.
    """
    targets = len(labels)
    decided = labels >= 0
    cells = np.arange(targets)[:, None] * count + labels
    # Of nothing at all, bincount makes integers, and these have no NaN.
    totals = np.bincount(cells[decided], weights[decided], targets * count).astype(float).reshape(targets, count)
    sums = totals.sum(1, keepdims=True)
    return np.divide(totals, sums, out=np.full_like(totals, np.nan), where=sums > 0)


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
    counts = np.random.default_rng([seed, n]).multinomial(n, np.full(n, 1 / n), size=1000)
    resampled, sums = numbers @ counts.T
    tail = 100 * stats.norm.cdf(-((n / (n - 1)) ** 0.5) * _quantile(n - 1))
    low, high = np.percentile(resampled[sums > 0] / sums[sums > 0], [tail, 100 - tail])
    return Estimate(value, float(low), float(high))


def ratio_of_means(groups: Sequence[Float[ndarray, " _"]], above: Sequence[float], below: Sequence[float]) -> Estimate:
    """Σ above·mean / Σ below·mean over independent groups of independent numbers: Fieller's interval (1954).

    A ratio ρ is inside unless Student's t tells the contrast Σ (above − ρ·below)·mean from 0, each group with a
    variance of its own (Welch 1947, degrees of freedom at the ratio found). Undefined where a group is empty or the
    sum below is not positive; a value without an interval where a group has fewer than `FEWEST` numbers, or where t
    cannot tell the sum below from 0.
    """
    sizes, over, under = np.array([len(group) for group in groups]), np.array(above, float), np.array(below, float)
    if not sizes.all():
        return UNDEFINED
    means = np.array([group.mean() for group in groups])
    top, bottom = float(over @ means), float(under @ means)
    if bottom <= 0:
        return UNDEFINED
    value = top / bottom
    if sizes.min() < FEWEST:
        return Estimate(value, np.nan, np.nan)
    errors = np.array([group.var(ddof=1) for group in groups]) / sizes
    parts = (over - value * under) ** 2 * errors
    freedom = parts.sum() ** 2 / (parts**2 / (sizes - 1)).sum() if parts.any() else np.inf
    square = _quantile(freedom) ** 2
    # The ends solve a·ρ² − 2b·ρ + c = 0; all else lies inside where a is not positive.
    a, b, c = (x * y - square * (errors @ (u * v)) for x, y, u, v in (
        (bottom, bottom, under, under), (top, bottom, over, under), (top, top, over, over)
    ))  # fmt: skip
    if a <= 0:
        return Estimate(value, np.nan, np.nan)
    margin = max(0.0, b * b - a * c) ** 0.5
    return Estimate(value, float((b - margin) / a), float((b + margin) / a))


def entropy(shares: Float[ndarray, "targets labels"], size: Float[ndarray, " targets"]) -> Float[ndarray, " targets"]:
    """Entropy in bits of each row, with the Miller-Madow correction for `size` (effective) samples.

    The plug-in entropy of n samples is too small by about (K − 1) / 2n nats for K labels seen (Miller 1955). A label
    with less weight than one sample counts as that fraction of a label.
    """
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    seen = np.minimum(1, shares * size[:, None]).sum(1)
    correction = np.divide(np.maximum(seen - 1, 0), 2 * size, out=np.zeros_like(size), where=size > 0)
    return (-(shares * logs).sum(1) + correction) / np.log(2)


def fields(name: str, estimate: Estimate) -> dict[str, float | None]:
    """The estimate as the three columns of a record; undefined is None."""
    return {
        name: defined(estimate.value),
        f"{name}_low": defined(estimate.low),
        f"{name}_high": defined(estimate.high),
    }


def defined(value: float) -> float | None:
    """The number, or None where it is NaN."""
    return None if np.isnan(value) else float(value)


def _quantile(freedom: float) -> float:
    """Student's t at the upper end of the interval; the normal quantile for infinite freedom."""
    return float(special.stdtrit(freedom, (1 + CONFIDENCE) / 2))  # stats.t.ppf is a hundred times slower


@lru_cache
def _shuffles(n: int, seed: int) -> Int[ndarray, "shuffles n"]:
    """Ways to deal samples out to `n` targets, each as likely as any other, as places in a flattened [n, n] table."""
    others = np.tile(np.arange(n), (SHUFFLES, 1))
    return np.arange(n) * n + np.random.default_rng([seed, n]).permuted(others, axis=1)


def _score_interval(rate: float, residuals: Float[ndarray, " targets"]) -> tuple[float, float]:
    """The interval of a rate between 0 and 1 from what the targets differ by.

    Wilson's (1927), for as many independent yes-or-no answers as the targets are worth: with the variance s² of the
    residuals, a target is worth 1/D answers, D = s² / (rate·(1 − rate)). Near 0 and 1 a few targets may all agree by
    luck; there D is drawn towards 1, its largest value. Where D = 1 the rate itself gives the variance; where D is
    small it is estimated, so the quantile goes from the normal one to Student's t with 2n/(kurtosis − 1) degrees of
    freedom (Satterthwaite 1946), n − 1 at most.
    """
    n, square = len(residuals), float(residuals.var())
    largest = rate * (1 - rate)
    unseen = _unseen(largest, n)
    seen = min(1.0, square * n / (n - 1) / largest) if largest > 0 else 1.0
    tails = float(((residuals - residuals.mean()) ** 4).mean()) / square**2 if square > ROUNDING**2 else 1.0
    freedom = min(n - 1.0, 2 * n / max(tails - 1, ROUNDING))
    return _wilson(rate, unseen + (1 - unseen) * seen, n, freedom)


def _unseen(largest: float, n: int) -> float:
    """How far D is drawn towards 1 for `n` targets, 0 to 1: all the way where the rate is 0 or 1."""
    return (UNSEEN / (UNSEEN + n * largest)) ** 2


def _wilson(rate: float, share: float, targets: int, freedom: float) -> tuple[float, float]:
    """The score interval of a rate over targets whose means have `share` of the largest variance, rate·(1 − rate)."""
    quantile = share * _quantile(np.inf) + (1 - share) * _quantile(freedom)
    square = quantile**2 * share / targets
    centre, margin = rate + square / 2, (square * (rate * (1 - rate) + square / 4)) ** 0.5
    return max(0.0, (centre - margin) / (1 + square)), min(1.0, (centre + margin) / (1 + square))
