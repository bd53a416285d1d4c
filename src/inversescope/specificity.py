"""Specificity: how often an input shares a target's label, by how far its activation is from the target's.

No kernel and no generator: the inputs of the pool, in bins of δ. Far from the target it must not be above chance.
Dimensions: `pool` inputs, `targets`, `bins`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from inversescope import statistics
from inversescope.evidence import Feature
from inversescope.sites import Site
from inversescope.statistics import defined, fields

WIDTH = 0.1  # of a bin: the nearest one holds what would be accepted
BINS = 20  # unrelated inputs are about √2 apart; the last bin is open, and holds what is farther than 1.9

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("site", "feature")),
        *((name, pa.float64()) for name in ("low", "high")),
        *((name, pa.int64()) for name in ("targets", "pairs")),
        *((name, pa.float64()) for name in ("fcr", "fcr_low", "fcr_high", "chance")),
    ]
)


def specificity(
    site: Site,
    distances: Float[ndarray, "pool targets"],
    features: Sequence[Feature],
    probability: Float[ndarray, " pool"],
    exact: bool,
) -> Iterator[dict[str, Any]]:
    """One row for each feature and bin that holds an input with a label; a whole prior holds the target itself, which
    is left out.
    """
    by_target = distances.T
    cells = np.minimum((by_target / WIDTH).astype(int), BINS - 1) + BINS * np.arange(len(by_target))[:, None]
    others = np.ones(by_target.shape, dtype=bool)
    if exact:
        np.put_along_axis(others, by_target.argmin(1, keepdims=True), False, axis=1)
    for feature in features:
        decided = others & (feature.pool >= 0) & (feature.targets >= 0)[:, None]
        same = decided & (feature.pool == feature.targets[:, None])
        pairs = _sums(cells, decided, np.ones_like(probability))
        total, shared = (_sums(cells, kept, probability) for kept in (decided, same))
        fcr = np.divide(shared, total, out=np.full_like(total, np.nan), where=total > 0)
        for place in np.flatnonzero(pairs.any(0)).tolist():
            here = fcr[:, place]
            yield {
                "site": str(site),
                "feature": feature.name,
                "low": WIDTH * place,
                "high": WIDTH * (place + 1) if place < BINS - 1 else None,
                "targets": int((~np.isnan(here)).sum()),
                "pairs": int(pairs[:, place].sum()),
                **fields("fcr", statistics.mean(here, 0, 1)),
                "chance": defined(float(feature.chance[~np.isnan(here)].mean())),
            }


def _sums(
    cells: Int[ndarray, "targets pool"], kept: Bool[ndarray, "targets pool"], probability: Float[ndarray, " pool"]
) -> Float[ndarray, "targets bins"]:
    """The probability of the inputs of each target's bins that are kept."""
    weights = np.broadcast_to(probability, cells.shape)[kept]
    # Of nothing at all, bincount makes integers.
    return np.bincount(cells[kept], weights, len(cells) * BINS).astype(float).reshape(-1, BINS)
