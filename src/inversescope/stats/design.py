"""Planning: how many targets and samples an interval of a given width needs."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from inversescope.stats.intervals import unseen_share, wilson


def intraclass_correlation(consistency: Float[ndarray, " targets"], sizes: Float[ndarray, " targets"]) -> float:
    """The share of the variance rate·(1 − rate) that lies between targets, 0 to 1: how alike samples of one target are.

    One-way analysis of variance from each target's consistency and (effective) number of samples: the variance of the
    target means, less the variance that their samples alone would give them. NaN where fewer than two targets have
    more than one sample, or all samples agree.
    """
    kept = ~np.isnan(consistency) & (sizes > 1)
    means, sizes = consistency[kept], sizes[kept]
    if len(means) < 2 or not 0 < means.mean() < 1:
        return np.nan
    within = means * (1 - means) / (sizes - 1)  # without bias for the variance that a mean has from its samples
    between = means.var(ddof=1) - within.mean()
    return float(np.clip(between / (means.mean() * (1 - means.mean())), 0, 1))


def half_width(rate: float, alike: float, targets: int, samples: int) -> float:
    """Half the width that the interval of a rate will have; `alike` is the intraclass correlation.

    `samples` of one target are worth samples / (1 + (samples − 1)·alike) independent ones (Kish 1965): beyond
    1 / alike more of them add little, and only targets help.
    """
    unseen = unseen_share(rate * (1 - rate), targets)
    share = alike + (1 - alike) / samples
    low, high = wilson(rate, unseen + (1 - unseen) * share, targets, targets - 1)
    return (high - low) / 2


def targets_needed(rate: float, alike: float, samples: int, width: float) -> int:
    """The fewest targets, two at least, with `samples` each, for an interval no wider than ± `width` (above 0)."""
    enough = 2
    while half_width(rate, alike, enough, samples) > width:
        enough *= 2
    candidates = range(max(2, enough // 2), enough + 1)
    return candidates[bisect_left(candidates, -width, key=lambda n: -half_width(rate, alike, n, samples))]
