"""Consistency by distance: share of the pool's inputs with the target's label, in bins of δ.

No kernel and no generator. Far from the target it must not be above chance.
Dimensions: `pool` inputs, `targets`, `bins`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from numpy import ndarray

from inversescope.score.labelled_feature import Feature
from inversescope.score.pool import SitePool
from inversescope.sites import Site
from inversescope.stats import intervals
from inversescope.stats.intervals import defined, fields

WIDTH = 0.1  # of a bin: the nearest one holds what would be accepted
BINS = 20  # unrelated inputs are about √2 apart; the last bin is open, and holds what is farther than 1.9


def by_distance(
    site: Site, pool: SitePool, features: Sequence[Feature], source: Bool[ndarray, "targets inputs"] | None = None
) -> Iterator[dict[str, Any]]:
    """One row for each feature and bin that holds an input with a label.

    `source`: inputs of the reference that are a target's own source, which are left out.
    """
    by_target = pool.distances.T
    cells = np.minimum(by_target / WIDTH, BINS - 1).astype(int) + BINS * np.arange(len(by_target))[:, None]
    others = np.ones(by_target.shape, dtype=bool) if source is None else ~source[:, : by_target.shape[1]]
    for feature in features:
        decided = others & (feature.pool >= 0) & (feature.targets >= 0)[:, None]
        same = decided & (feature.pool == feature.targets[:, None])
        pairs, total, shared = (
            _sums(cells, weights) for weights in (decided, decided * pool.probability, same * pool.probability)
        )
        fcr = np.divide(shared, total, out=np.full_like(total, np.nan), where=total > 0)
        chance = np.where(np.isnan(fcr), np.nan, feature.prior.chance(feature.targets)[:, None])
        for number in np.flatnonzero(pairs.any(0)).tolist():
            yield {
                "site": str(site),
                "feature": feature.name,
                "low": WIDTH * number,
                "high": WIDTH * (number + 1) if number < BINS - 1 else None,
                "targets": int((total[:, number] > 0).sum()),
                "pairs": int(pairs[:, number].sum()),
                **fields("fcr", intervals.mean(fcr[:, number], 0, 1)),
                "chance": defined(float(np.nanmean(chance[:, number]))),
            }


def _sums(
    cells: Int[ndarray, "targets pool"], weights: Shaped[ndarray, "targets pool"]
) -> Float[ndarray, "targets bins"]:
    """The weights of the inputs in each target's bins."""
    return np.bincount(cells.ravel(), weights.ravel(), len(cells) * BINS).reshape(-1, BINS)
