"""Statistics of a few inputs of one target: expected nearest of k draws, tokens that they have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.special import gammaln

BEST_OF = 8


def best_of(distances: Float[ndarray, " n"], k: int = BEST_OF) -> float:
    """Expected smallest distance of k of these draws, an unbiased estimate of that of k new ones: the mean over all
    choices of k. Fewer draws than k: the smallest.
    """
    n = len(distances)
    if n <= k:
        return float(np.min(distances))
    ranks = np.arange(n - k + 1.0)  # the smallest of a choice has rank r, and the k − 1 others come after it
    log_ways = _log_choose(n - 1 - ranks, k - 1) - _log_choose(np.array([float(n)]), k)
    return float(np.sort(distances)[: n - k + 1] @ np.exp(log_ways))


def same_from_the_end(inputs: Sequence[Sequence[int]], source: Sequence[int], weights: Sequence[float]) -> list[float]:
    """Share of the inputs that have the source's token at each place, the last first."""
    places = min(len(source), *(len(row) for row in inputs))
    total = float(np.sum(weights))
    found = []
    for place in range(1, places + 1):
        equal = [row[-place] == source[-place] for row in inputs]
        found.append(float(np.dot(equal, weights) / total))
    return found


def _log_choose(n: Float[ndarray, " n"], k: int) -> Float[ndarray, " n"]:
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
