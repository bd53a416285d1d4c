"""Means, rates, corrected scores and ratios over independent targets, each with its 95% interval.

The targets are the independent units; the samples of one target are not. Undefined is NaN here, and null in records.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy import special, stats

CONFIDENCE = 0.95
FEWEST = 6  # numbers of a group from which its variance makes an interval; by simulation, docs/lab/statistics.md
ROUNDING = 1e-9  # variances below its square are zero
UNSEEN = 0.15  # how soon a score interval allows for targets unlike any seen; by simulation, docs/lab/statistics.md


class Estimate(NamedTuple):
    """A value and its 95% interval; NaN where undefined."""

    value: float
    low: float
    high: float


UNDEFINED = Estimate(np.nan, np.nan, np.nan)


def mean(per_target: Float[ndarray, " targets"], low: float = -np.inf, high: float = np.inf) -> Estimate:
    """Mean over the targets that are not NaN.

    The interval is Student's t, or for numbers that lie between `low` and `high` a score interval (`_score_interval`),
    which stays inside of them and has a width even where all targets agree. Numbers beyond these, as bits of a
    corrected entropy may be, count as the nearest; the interval holds the mean of them as they are. With one target
    there is a value and no interval; with none, nothing.
    """
    values = per_target[~np.isnan(per_target)]
    if len(values) == 0:
        return UNDEFINED
    value = float(values.mean())
    if len(values) == 1:
        return Estimate(value, np.nan, np.nan)
    reach = high - low
    if not 0 < reach < np.inf:
        margin = t_quantile(len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
        return Estimate(value, value - margin, value + margin)
    inside = np.clip((values - low) / reach, 0, 1)
    ends = _score_interval(float(inside.mean()), inside - inside.mean())
    return Estimate(value, min(value, low + reach * ends[0]), max(value, low + reach * ends[1]))


def paired(one: Float[ndarray, " targets"], other: Float[ndarray, " targets"]) -> Estimate:
    """The difference of two rates from 0 to 1, mean over the targets that have both.

    For two sites, two methods, two bandwidths: what is the same for a target in both drops out.
    """
    return mean(one - other, -1, 1)


def corrected(consistency: Float[ndarray, " targets"], chance: Float[ndarray, " targets"]) -> Estimate:
    """κ = (FCR − FCR₀) / (1 − FCR₀) over the targets, with the interval of FCR carried over.

    0 is chance, 1 is fully determined; undefined where FCR₀ = 1. Targets with NaN are left out. 1 − κ is a ratio of
    means, (1 − c) over (1 − chance), so what varies is the residual (1 − c) − (1 − κ)(1 − chance). A bootstrap over
    the targets knows only values that it has seen, and covers 10-90% where most targets agree (docs/lab/statistics.md).
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


def ratio_of_means(groups: Sequence[Float[ndarray, " _"]], above: Sequence[float], below: Sequence[float]) -> Estimate:
    """Σ above·mean / Σ below·mean over independent groups of independent numbers: Fieller's interval (1954).

    A ratio ρ is inside unless Student's t separates the contrast Σ (above − ρ·below)·mean from 0, each group with a
    variance of its own (Welch 1947, degrees of freedom at the ratio found). Undefined where a group is empty or the
    sum below is not positive; a value without an interval where a group has fewer than `FEWEST` numbers, or where t
    cannot separate the sum below from 0.
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
    square = t_quantile(freedom) ** 2
    # The ends solve a·ρ² − 2b·ρ + c = 0; all else lies inside where a is not positive.
    a, b, c = (x * y - square * (errors @ (u * v)) for x, y, u, v in (
        (bottom, bottom, under, under), (top, bottom, over, under), (top, top, over, over)
    ))  # fmt: skip
    if a <= 0:
        return Estimate(value, np.nan, np.nan)
    margin = max(0.0, b * b - a * c) ** 0.5
    return Estimate(value, float((b - margin) / a), float((b + margin) / a))


def jeffreys(rate: float, size: float) -> Estimate:
    """Jeffreys' interval (Brown, Cai and DasGupta 2001) of a share of `size` independent inputs; it always holds the
    share.
    """
    tails = (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
    low, high = stats.beta.ppf(tails, size * rate + 0.5, size * (1 - rate) + 0.5)
    return Estimate(rate, float(min(low, rate)), float(max(high, rate)))


def difference(one: Estimate, other: Estimate) -> Estimate:
    """The difference of two independent shares from the interval of each (Newcombe 1998, method 10): the distances of
    the ends that face each other are added in quadrature. Undefined where one of them is.
    """
    value = one.value - other.value
    below = np.hypot(one.value - one.low, other.high - other.value)
    above = np.hypot(one.high - one.value, other.value - other.low)
    return Estimate(value, float(value - below), float(value + above))


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


def t_quantile(freedom: float) -> float:
    """Student's t at the upper end of the interval; the normal quantile for infinite freedom."""
    return float(special.stdtrit(freedom, (1 + CONFIDENCE) / 2))  # stats.t.ppf is a hundred times slower


def _score_interval(rate: float, residuals: Float[ndarray, " targets"]) -> tuple[float, float]:
    """The interval of a rate between 0 and 1 from what the targets differ by.

    Wilson's (1927), for as many independent yes-or-no answers as the targets are worth: with the variance s² of the
    residuals, a target is worth 1/D answers, D = s² / (rate·(1 − rate)). Near 0 and 1 a few targets may all agree by
    luck; there D is drawn towards 1, its largest value. For D = 1 the rate itself gives the variance; for
    small D it is estimated, so the quantile goes from the normal one to Student's t with 2n/(kurtosis − 1) degrees of
    freedom (Satterthwaite 1946), n − 1 at most.
    """
    n, square = len(residuals), float(residuals.var())
    largest = rate * (1 - rate)
    unseen = unseen_share(largest, n)
    seen = min(1.0, square * n / (n - 1) / largest) if largest > 0 else 1.0
    tails = float(((residuals - residuals.mean()) ** 4).mean()) / square**2 if square > ROUNDING**2 else 1.0
    freedom = min(n - 1.0, 2 * n / max(tails - 1, ROUNDING))
    return wilson(rate, unseen + (1 - unseen) * seen, n, freedom)


def unseen_share(largest: float, n: int) -> float:
    """Weight with which D is drawn towards 1 for `n` targets; 1 where the rate is 0 or 1."""
    return (UNSEEN / (UNSEEN + n * largest)) ** 2


def wilson(rate: float, share: float, targets: int, freedom: float) -> tuple[float, float]:
    """The score interval of a rate over targets whose means have `share` of the largest variance, rate·(1 − rate)."""
    quantile = share * t_quantile(np.inf) + (1 - share) * t_quantile(freedom)
    square = quantile**2 * share / targets
    centre, margin = rate + square / 2, (square * (rate * (1 - rate) + square / 4)) ** 0.5
    return max(0.0, (centre - margin) / (1 + square)), min(1.0, (centre + margin) / (1 + square))
