"""Groups of weighted points: a set is split in two where that explains more than it would explain of one normal cloud.

SigClust (Liu, Hayes, Nobel and Marron 2008): the cluster index of the best two groups, the sum of squares within them
over the whole one, is compared with that of normal points of the same covariance. The parts are split again, with a
smaller share of the error probability for smaller parts (Kimes, Liu, Hayes and Marron 2017). The two groups are found
here and not by SciPy, whose k-means knows no weights.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

DIRECTIONS = 10  # principal components that are looked at; further ones are noise at some dozens of points
SIMULATED = 400  # normal sets behind one p-value; the level of a small part has to be reachable
FEWEST = 3  # points of the smallest group
SMALLEST = 0.05  # share of the whole weight of the smallest group
ROUNDS = 12  # of moving the centres, enough for some dozens of points


class Groups(NamedTuple):
    """Groups of points: the number of each point's group, by falling weight; and p of the first split, NaN if there are
    too few points for one.
    """

    of: Int[ndarray, " n"]
    p_value: float


def groups(
    points: Float[ndarray, "n d"], weights: Float[ndarray, " n"], rng: np.random.Generator, level: float = 0.05
) -> Groups:
    """The groups of `n` points with these weights, all above 0; one group where nothing speaks against it.

    Args:
        level: probability that one normal cloud is split.
    """
    shares = weights / weights.sum()
    parts, first = _split(points, shares, np.arange(len(points)), rng, level)
    parts.sort(key=lambda part: -shares[part].sum())
    of = np.zeros(len(points), dtype=int)
    for number, part in enumerate(parts):
        of[part] = number
    return Groups(of, first)


def _split(
    points: Float[ndarray, "n d"],
    shares: Float[ndarray, " n"],
    part: Int[ndarray, " part"],
    rng: np.random.Generator,
    level: float,
) -> tuple[list[Int[ndarray, " _"]], float]:
    """A part as groups of rows, and p of its first split."""
    if len(part) < 2 * FEWEST or shares[part].sum() < 2 * SMALLEST:
        return [part], np.nan
    weights = shares[part] / shares[part].sum()
    placed = _principal(points[part], weights)
    halves, index = _two_means(placed[None], weights)
    spread = np.sqrt(weights @ placed**2)
    simulated = rng.standard_normal((SIMULATED, *placed.shape)) * spread
    p_value = float((1 + (_two_means(simulated, weights)[1] <= index[0]).sum()) / (1 + SIMULATED))
    two = [part[halves[0] == side] for side in (0, 1)]
    small = any(len(half) < FEWEST or shares[half].sum() < SMALLEST for half in two)
    if small or p_value > level * (len(part) - 1) / (len(points) - 1):
        return [part], p_value
    return [group for half in two for group in _split(points, shares, half, rng, level)[0]], p_value


def _principal(points: Float[ndarray, "n d"], weights: Float[ndarray, " n"]) -> Float[ndarray, "n k"]:
    """The points around their mean, along the directions of their largest spread."""
    around = points - weights @ points
    _, _, directions = np.linalg.svd(around * np.sqrt(weights)[:, None], full_matrices=False)
    return around @ directions[:DIRECTIONS].T


def _two_means(
    sets: Float[ndarray, "sets n k"], weights: Float[ndarray, " n"]
) -> tuple[Int[ndarray, "sets n"], Float[ndarray, " sets"]]:
    """The best two groups of each set of points, and their cluster index, from 0 to 1; 1 where a set does not vary.

    It starts from both sides of the mean along each coordinate.
    """
    sets = sets - np.einsum("n,snk->sk", weights, sets)[:, None]
    whole = np.einsum("n,snk->s", weights, sets**2)
    sides, best = np.zeros(sets.shape[:2], dtype=int), np.ones(len(sets))
    for coordinate in range(sets.shape[2]):
        found = (sets[:, :, coordinate] > 0).astype(int)
        for _ in range(ROUNDS):
            second = weights * found  # weights of the points of the second group
            mass = second.sum(1, keepdims=True)
            centre = np.einsum("sn,snk->sk", second, sets) / np.maximum(mass, 1e-12)
            other = -mass * centre / np.maximum(1 - mass, 1e-12)  # the mean of all is 0
            middle = (centre + other) / 2
            found = (np.einsum("snk,sk->sn", sets - middle[:, None], centre - other) > 0).astype(int)
        mass = (weights * found).sum(1)
        centre = np.einsum("sn,snk->sk", weights * found, sets)
        between = (centre**2).sum(1) / np.maximum(mass * (1 - mass), 1e-12)
        index = 1 - between / np.maximum(whole, 1e-300)
        better = (index < best) & (whole > 0)
        sides[better], best[better] = found[better], index[better]
    return sides, best
