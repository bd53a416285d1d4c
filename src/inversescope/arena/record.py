"""Answers of a method as rows, one a target, and as arrays again; where it abstains, the prior stands in.

So every method has an answer to every question, and all are compared on the same ones; the share of abstentions
(`silent`) is kept. Knows no subject.

Dimensions: `targets`, `labels` of a feature.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from inversescope import records
from inversescope.score.feature import own_share
from inversescope.score.labelled_feature import Feature

ROUNDING = 1e-9  # shares that differ by less are equal


class Question(NamedTuple):
    """A feature at a site and a bandwidth (None: the method has none)."""

    site: str
    feature: str
    bandwidth: float | None


@dataclass(frozen=True)
class Answered:
    """One question's answers. A target whose own label is undecided is NaN throughout.

    Attributes:
        hit: 1 if the likeliest label is the target's own, else 0; a fraction where several are equally likely.
        share: of the target's own label.
        confidence: share of the likeliest label.
        chance: the prior's share of the target's own label.
        ess: effective sample size behind the answer; NaN where it has none.
        silent: the method abstained, and the prior stands in.
    """

    hit: Float[ndarray, " targets"]
    share: Float[ndarray, " targets"]
    confidence: Float[ndarray, " targets"]
    chance: Float[ndarray, " targets"]
    ess: Float[ndarray, " targets"]
    silent: Bool[ndarray, " targets"]

    @property
    def labelled(self) -> Bool[ndarray, " targets"]:
        """The targets that have a label."""
        return ~np.isnan(self.hit)


def rows(
    feature: Feature,
    site: str,
    bandwidth: float | None,
    shares: Float[ndarray, "targets labels"],
    sizes: Float[ndarray, " targets"],
) -> Iterator[dict[str, Any]]:
    """One row for each target that has a label."""
    chance = feature.prior.chance(feature.targets)
    silent = np.any(np.isnan(shares), axis=1)
    filled = np.where(silent[:, None], feature.prior.shares, shares)
    likeliest = filled >= filled.max(1, keepdims=True) - ROUNDING
    own = own_share(filled, feature.targets)
    hit = own_share(likeliest / likeliest.sum(1, keepdims=True), feature.targets)
    first = likeliest.argmax(1)
    for target in np.flatnonzero(feature.targets >= 0).tolist():
        yield {
            **{"site": site, "feature": feature.name, "bandwidth": bandwidth, "target": target},
            "label": feature.values[feature.targets[target]],
            "answer": None if silent[target] else feature.values[first[target]],
            **{"hit": float(hit[target]), "share": float(own[target]), "confidence": float(filled[target].max())},
            "chance": float(chance[target]),
            "ess": None if np.isnan(sizes[target]) else float(sizes[target]),
            "silent": bool(silent[target]),
        }


def read(table: pa.Table, targets: int) -> dict[Question, Answered]:
    """The rows of a method, by question; `targets` is how many there are."""
    columns = {name: table[name].to_numpy(zero_copy_only=False) for name in records.arena.ANSWERS.names}
    keys = [Question(*key) for key in zip(*(table[name].to_pylist() for name in Question._fields), strict=True)]
    of_question: dict[Question, list[int]] = {}
    for row, key in enumerate(keys):
        of_question.setdefault(key, []).append(row)
    return {key: _answered(columns, np.array(rows), targets) for key, rows in of_question.items()}


def _answered(columns: dict[str, ndarray], rows: Int[ndarray, " rows"], targets: int) -> Answered:
    at = columns["target"][rows]

    def spread(name: str) -> Float[ndarray, " targets"]:
        values = np.full(targets, np.nan)
        values[at] = columns[name][rows].astype(float)
        return values

    numbers = {name: spread(name) for name in ("hit", "share", "confidence", "chance", "ess")}
    return Answered(**numbers, silent=spread("silent") == 1)
