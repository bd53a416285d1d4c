"""Pairwise comparison of methods: differences on the same targets, question by question. Knows no subject.

Dimensions: `targets`, `pairs`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from inversescope.arena.measure import Answers, by_target, chosen, groups
from inversescope.stats import intervals, resampling
from inversescope.stats.intervals import defined, fields
from inversescope.streams import Stream
from inversescope.verdicts.comparison import which_ahead

FLIPS = 9_999
ROUNDING = 1e-9  # sums that differ by less are equal
MEASURES = {"accuracy": "hit", "share": "share"}
# The numbers of one method by site, feature (null: over all) and measure.
_Numbers = dict[tuple[str | None, str | None, str], Float[ndarray, " targets"]]


def pairs(methods: Mapping[str, Answers], seed: int) -> list[dict[str, Any]]:
    """One row for each two methods, what they are compared on, and measure; q-values over all of them."""
    numbers = {method: _numbers(answers) for method, answers in methods.items()}
    rows = [row for one, other in itertools.combinations(methods, 2) for row in _compare(one, other, numbers)]
    differences = [row.pop("values") for row in rows]
    if not rows:
        return []
    p_values = sign_flips(np.stack(differences), seed)
    for row, p, q in zip(rows, p_values, resampling.q_values(p_values), strict=True):
        row |= {"p": defined(p), "q": defined(q)}
    return rows


def sign_flips(differences: Float[ndarray, "pairs targets"], seed: int) -> Float[ndarray, " pairs"]:
    """Two-sided p-values of a mean difference of zero: the share of sign draws with a mean at least as far from zero, a
    sign for each target (Fisher 1935). NaN is left out; a row without any difference has p = 1.
    """
    filled = np.nan_to_num(differences)
    flips = Stream.ARENA_SIGNS.rng(seed).choice([-1.0, 1.0], (FLIPS, filled.shape[1]))
    observed = np.abs(filled.sum(1))
    as_far = [
        (np.abs(rows @ flips.T) >= observed[start : start + len(rows), None] - ROUNDING).sum(1)
        for start, rows in _parts(filled)
    ]
    p_values = (1 + np.concatenate(as_far)) / (FLIPS + 1)
    return np.where(np.isnan(differences).all(1), np.nan, p_values)


def _parts(
    rows: Float[ndarray, "pairs targets"], size: int = 512
) -> Iterator[tuple[int, Float[ndarray, "part targets"]]]:
    for start in range(0, len(rows), size):
        yield start, rows[start : start + size]


def _numbers(answers: Answers) -> _Numbers:
    counts = chosen(answers)
    numbers: _Numbers = {}
    single = [(site, feature, [question]) for (site, feature), question in counts.items()]
    for site, feature, group in (*groups(counts), *single):
        for measure, name in MEASURES.items():
            numbers[site, feature, measure] = by_target([answers[question] for question in group], name)
    return numbers


def _compare(one: str, other: str, numbers: Mapping[str, _Numbers]) -> Iterator[dict[str, Any]]:
    for key, first in numbers[one].items():
        second = numbers[other][key]
        estimate = intervals.paired(first, second)
        yield {
            **dict(zip(("one", "other", "site", "feature", "measure"), (one, other, *key), strict=True)),
            "targets": int((~np.isnan(first - second)).sum()),
            **fields("difference", estimate),
            "ahead": which_ahead(estimate.low, estimate.high, one, other),
            "values": first - second,
        }
