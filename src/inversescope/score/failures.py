"""The targets that a site's generator answers worst, and why, by stated rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float
from numpy import ndarray

from inversescope.sites import Site
from inversescope.stats.weights import (
    effective_sample_size,
    largest_reliable_shape,
)
from inversescope.verdicts import reasons

WORST = 3  # targets of a site


def failures(
    site: Site, table: pa.Table, distances: Float[ndarray, "pool targets"], undertrained: str | None, whole: bool
) -> Iterator[dict[str, Any]]:
    """A row for each of the targets with the fewest accepted draws at the smallest bandwidth, the worst first.

    Args:
        undertrained: why the calibration finds the site undertrained, if it does.
        whole: the pool is the whole prior, and holds the targets themselves.
    """
    h = min(table["bandwidth"].unique().to_pylist())
    part = table.filter(pc.field("bandwidth") == h)
    pool_nearest = np.sort(distances, axis=0)[int(whole)].tolist()
    rows = []
    for target, other in enumerate(pool_nearest):
        draws = part.filter(pc.field("target") == target)
        known = {"site": str(site), "bandwidth": h, "target": target, "pool_nearest": other}
        rows.append(known | _draws(draws, whole))
    rows.sort(key=lambda row: (row["acceptance"], -np.inf if row["nearest"] is None else -row["nearest"]))
    for row in rows[:WORST]:
        yield row | {"reasons": reasons(row, undertrained, largest_reliable_shape(row["draws"]))}


def _draws(draws: pa.Table, whole: bool) -> dict[str, Any]:
    """What is known of one target's draws."""
    verified = draws.filter(draws["verified"]).sort_by("distance")
    weights = np.nan_to_num(draws["weight"].to_numpy(zero_copy_only=False))
    first = verified.slice(0, 1).to_pylist()
    copied = float(verified["in_train"].to_numpy().mean()) if first and not whole else None
    return {
        "draws": len(draws),
        "unverified": len(draws) - len(verified),
        "acceptance": float(draws["accepted"].to_numpy().mean()),
        "nearest": first[0]["distance"] if first else None,
        "nearest_text": first[0]["text"] if first else None,
        "copied": copied,
        "ess": float(effective_sample_size(weights)),
        "pareto_k": draws["pareto_k"][0].as_py(),
    }
