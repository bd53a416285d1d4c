"""Weights over samples: importance weights, smoothing, effective sample size, resampling."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy import stats

RARE = -60.0  # ln q below which no number of draws is large
TAIL = 5  # weights that the fit of a tail needs (Vehtari et al.)
RESOLUTION = 1e-4  # weights that differ by a smaller share are equal: their logs come from single precision


class Importance(NamedTuple):
    """Importance weights of the draws for one target.

    Attributes:
        weights: of sum one; an input that was drawn several times has its whole weight at its first draw, and 0 at the
            others, so that whatever is computed from the weights counts inputs and not draws.
        shape: k̂ of the weights' tail, NaN where there is none to fit.
        log_normaliser: ln Ẑ, the estimate of Σ P(x) k(δ/h) before smoothing, in nats; −inf where nothing has weight.
    """

    weights: Float[ndarray, " n"]
    shape: float
    log_normaliser: float


def beside_known(probability: Float[ndarray, " n"], seen: Float[ndarray, " n"], known: float) -> Float[ndarray, " n"]:
    """The part of a prior that each input of a pool stands for, beside known inputs that stand for themselves.

    The first draw of an input makes it a known one with probability q, else one of the pool; it is drawn at all with
    probability π. With w = P (1 − q π) / ((1 − q) π) for the pool's, q π P + (1 − q) π w = P: the sum over both
    has no bias. A frequent input of the pool stands for itself, a rare one also for those that were not drawn. So q
    matters for the rare ones alone; it is theirs as a share of distinct inputs. The splits are filled evenly by rows,
    so where one has the more frequent inputs, the other has more of the rare ones.

    Args:
        probability: P of each.
        seen: π of each, above 0.
        known: q, below 1: the known ones' share of the distinct inputs of both.
    """
    return probability * (1 - known * seen) / ((1 - known) * seen)


def importance_weights(
    log_posterior: Float[ndarray, " n"], log_q: Float[ndarray, " n"], inputs: Sequence[Hashable]
) -> Importance:
    """Weights that turn `n` draws from q into P(x; ẑ, s, h), by distinct inputs.

    An input counts once, however often it was drawn, over the probability π = 1 − (1 − q)ⁿ of being among n draws
    (Horvitz and Thompson 1952). The number of times it came up adds nothing to q. The tail is smoothed
    (`pareto_smoothed`) as far as it is luck: an input that was bound to be drawn, π near 1, keeps its weight.
    """
    first = np.flatnonzero(repeats(inputs))
    log_found = _log_found(log_q, len(log_q))[first]
    logs = log_posterior[first] - log_found
    raw = normalise(logs)
    smoothed, shape = pareto_smoothed(raw)
    inclusion = np.exp(log_found)
    each = inclusion * raw + (1 - inclusion) * smoothed
    weights = np.zeros(len(log_q))
    weights[first] = each / (each.sum() or 1)
    return Importance(weights, shape, float(np.logaddexp.reduce(logs)))


def repeats(inputs: Sequence[Hashable]) -> Int[ndarray, " n"]:
    """Number of times that an input comes up, at its first place; 0 at its other places."""
    counts = Counter(inputs)
    return np.array([counts.pop(x, 0) for x in inputs], dtype=int)


def normalise(log_weights: Float[ndarray, "*batch n"]) -> Float[ndarray, "*batch n"]:
    """Weights that sum to one over the last axis; all zero where every log weight is −inf."""
    highest = log_weights.max(-1, keepdims=True)
    weights = np.exp(log_weights - np.where(np.isfinite(highest), highest, 0))
    total = weights.sum(-1, keepdims=True)
    return np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)


def effective_sample_size(weights: Float[ndarray, "*batch n"]) -> Float[ndarray, "*batch"]:
    """(Σw)² / Σw² (Kish 1965): number of equal weights that give a mean the same variance; 0 where all are 0."""
    squares = (weights**2).sum(-1)
    return np.divide(weights.sum(-1) ** 2, squares, out=np.zeros_like(squares), where=squares > 0)


def weighted_median(values: Float[ndarray, "*shape"], weights: Float[ndarray, "*shape"]) -> float:
    """The value below which half of the weight lies."""
    order = np.argsort(values, axis=None)
    cumulated = np.cumsum(weights.ravel()[order])
    return float(values.ravel()[order[np.searchsorted(cumulated, cumulated[-1] / 2)]])


def weighted_medians(values: Float[ndarray, "rows n"], weights: Float[ndarray, "rows n"]) -> Float[ndarray, " rows"]:
    """The weighted median of each row; infinite where a row has no weight."""
    order = values.argsort(1)
    cumulated = np.take_along_axis(weights, order, 1).cumsum(1)
    total = cumulated[:, -1:]
    middle = (cumulated < total / 2).sum(1, keepdims=True)
    found = np.take_along_axis(values, np.take_along_axis(order, middle, 1), 1)[:, 0]
    return np.where(total[:, 0] > 0, found, np.inf)


def pareto_smoothed(weights: Float[ndarray, " n"]) -> tuple[Float[ndarray, " n"], float]:
    """The weights with their largest smoothed, not normalised again, and the shape k̂ of their tail.

    PSIS (arXiv 1507.02646): the largest fifth, at least five and at most 3√n, give way to the quantiles of a
    generalised Pareto distribution fitted to them; equal ones stay equal. The larger k̂, the heavier the tail, and the
    less the weights can be relied on (`largest_reliable_shape`). If too few weights stand out for a fit (fewer than
    eleven, or most of them alike), k̂ is NaN, and the weights are as they are.
    """
    if len(weights) <= 2 * TAIL:
        return weights, math.nan
    size = max(TAIL, math.ceil(min(len(weights) / 5, 3 * math.sqrt(len(weights)))))
    cutoff = max(np.sort(weights)[-size - 1], 1e-150 * weights.max())  # below that the fit could overflow
    tail = np.flatnonzero(weights > cutoff * (1 + RESOLUTION))
    if len(tail) < TAIL or np.ptp(weights[tail]) <= RESOLUTION * weights.max():
        return weights, math.nan
    values, inverse, counts = np.unique(weights[tail], return_inverse=True, return_counts=True)
    shape, scale = _fit_pareto(np.repeat(values, counts) - cutoff)
    quantiles = stats.genpareto.ppf((np.arange(len(tail)) + 0.5) / len(tail), shape, cutoff, scale)
    ranks = np.repeat(np.arange(len(values)), counts)
    smoothed = weights.copy()
    smoothed[tail] = (np.bincount(ranks, np.minimum(quantiles, values[-1])) / counts)[inverse]
    return smoothed, shape


def largest_reliable_shape(n: int) -> float:
    """The k̂ up to which `n` weights can be relied on (arXiv 1507.02646, section 3.2.4); −∞ for a single one."""
    return min(1 - 1 / math.log10(n), 0.7) if n > 1 else -math.inf


def systematic(weights: Float[ndarray, " draws"], n: int, rng: np.random.Generator) -> Int[ndarray, " n"]:
    """`n` places drawn by weight, with one random number: each weight w comes up n·w times, rounded up or down."""
    cumulated = np.cumsum(weights)
    return np.searchsorted(cumulated / cumulated[-1], (rng.random() + np.arange(n)) / n, side="right")


def _log_found(log_q: Float[ndarray, " inputs"], n: int) -> Float[ndarray, " inputs"]:
    """ln of 1 − (1 − q)ⁿ, the probability that n draws contain an input; ln n·q where q is tiny."""
    q = np.clip(np.exp(np.maximum(log_q, RARE)), None, 1 - np.finfo(float).eps)
    return np.log(-np.expm1(n * np.log1p(-q))) + np.minimum(log_q - RARE, 0)


def _fit_pareto(excess: Float[ndarray, " m"]) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto distribution, from rising positive numbers.

    The estimate of Zhang and Stephens (Technometrics 51(3), 2009): a mean over θ by their profile likelihood.
    The shape is then drawn towards 0.5 as by ten observations, as PSIS does.
    """
    m = len(excess)
    candidates = 30 + math.isqrt(m)
    spread = 1 - np.sqrt(candidates / (np.arange(candidates) + 0.5))
    thetas = 1 / excess[-1] + spread / (3 * excess[int(m / 4 + 0.5) - 1])
    shapes = np.log1p(-thetas[:, None] * excess).mean(1)
    theta = thetas @ normalise(m * (np.log(-thetas / shapes) - shapes - 1))
    shape = float(np.log1p(-theta * excess).mean())
    return (m * shape + 10 * 0.5) / (m + 10), float(-shape / theta)
