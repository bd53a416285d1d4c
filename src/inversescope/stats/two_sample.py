"""Classifier two-sample test of two sets of inputs for each target (Lopez-Paz and Oquab, arXiv 1610.06545).

A ridge classifier over which tokens occur, and which at which place, is fitted on some targets and
evaluated on others. Dimensions: `targets`, `n` inputs of one side of a target, `both` sides, `indicators`, `sides`
that are tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy import stats

from inversescope.stats import intervals
from inversescope.stats.intervals import Estimate
from inversescope.streams import Stream

Tokens = tuple[int, ...]
FOLDS = 5  # of the cross-validation, by target
FEWEST = 10  # targets: of fewer, the sides can be swapped in too few ways, and classifiers learn from too few
INDICATORS = 512  # that vary most within targets; the classifier's cost is the cube of their number
PERMUTATIONS = 199


def classifier_test(
    some: Sequence[Sequence[Tokens]], others: Sequence[Sequence[Tokens]], seed: int
) -> tuple[Estimate, float]:
    """Area under the curve of a classifier between two sets of inputs, `n` of each for each target, and its p-value.

    The area is that on targets that the classifier was not fitted to (1/2: the sets cannot be separated), with its
    interval over them; the p-value is the share of random swaps of the two sets of each target with an area as large.
    Both are NaN for fewer than ten targets.
    """
    if len(some) < FEWEST:
        return intervals.UNDEFINED, np.nan
    rng, targets = Stream.TWO_SAMPLE.rng(seed), len(some)
    sides = np.c_[np.ones(targets), rng.choice([-1.0, 1.0], (targets, PERMUTATIONS))]
    areas = _areas(_indicators(some, others), sides)
    mean_areas = areas.mean(0)
    p_value = (1 + (mean_areas[1:] >= mean_areas[0]).sum()) / (1 + PERMUTATIONS)
    return _widened(intervals.mean(areas[:, 0])), float(p_value)


def _widened(estimate: Estimate) -> Estimate:
    """The interval for classifiers that were fitted to each other's targets, and so err together: the variance is
    larger by the ratio of (1/J + n_tested/n_fitted) to 1/J for J folds (Nadeau and Bengio 2003, Machine Learning 52).
    """
    value, low, high = estimate
    wider = (1 + FOLDS / (FOLDS - 1)) ** 0.5
    return Estimate(value, max(0.0, value - wider * (value - low)), min(1.0, value + wider * (high - value)))


def _areas(inputs: Float[ndarray, "targets both indicators"], sides: Float[ndarray, "targets sides"]) -> ndarray:
    """The area under the curve of each target, [targets, sides]. The first half of a target's inputs is on the side
    that `sides` gives (1 or -1), the second half on the other.

    Least squares is linear in what it is fitted to, so all sides are tried for the price of one.
    """
    targets, both, count = inputs.shape
    half = both // 2
    between = inputs[:, :half].sum(1) - inputs[:, half:].sum(1)
    fold = np.arange(targets) % FOLDS
    squares = np.stack([_square(inputs[fold == k].reshape(-1, count)) for k in range(FOLDS)])
    areas = np.empty_like(sides)
    for k in range(FOLDS):
        here, rest = fold == k, fold != k
        scatter = squares.sum(0) - squares[k]
        ridge = max(np.trace(scatter) / count, 1e-9) * np.eye(count)  # as strong as what varies as much as the mean
        weights = np.linalg.solve(scatter + ridge, between[rest].T @ sides[rest])
        ranks = stats.rankdata(np.round(inputs[here] @ weights, 9), axis=1)
        won = (ranks[:, :half].sum(1) - half * (half + 1) / 2) / half**2
        areas[here] = np.where(sides[here] > 0, won, 1 - won)
    return areas


def _square(inputs: Float[ndarray, "inputs indicators"]) -> Float[ndarray, "indicators indicators"]:
    return inputs.T @ inputs


def _indicators(
    some: Sequence[Sequence[Tokens]], others: Sequence[Sequence[Tokens]]
) -> Float[ndarray, "targets both indicators"]:
    """Indicators of the tokens of each input, and of the tokens at each place, less the mean of its target: only
    variation within targets separates the sets.
    """
    inputs = [tokens for pair in zip(some, others, strict=True) for side in pair for tokens in side]
    indicators = [[*enumerate(tokens), *((None, token) for token in set(tokens))] for tokens in inputs]
    number = {indicator: column for column, indicator in enumerate(dict.fromkeys(chain.from_iterable(indicators)))}
    column = np.array([number[indicator] for of_input in indicators for indicator in of_input])
    row = np.repeat(np.arange(len(inputs)), [len(of_input) for of_input in indicators])
    targets, both = len(some), len(some[0]) + len(others[0])
    counts = np.bincount(row // both * len(number) + column, minlength=targets * len(number))
    mean = counts.reshape(targets, -1) / both
    chosen = np.argsort(-(mean * (1 - mean)).sum(0), kind="stable")[:INDICATORS]
    column_of = np.full(len(number), -1)
    column_of[chosen] = np.arange(len(chosen))
    kept = column_of[column] >= 0
    present = np.zeros((len(inputs), len(chosen)))
    present[row[kept], column_of[column[kept]]] = 1
    return present.reshape(targets, both, -1) - mean[:, None, chosen]
