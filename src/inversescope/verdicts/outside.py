"""Rule for an activation that is outside of the prior: farther from every stored input than those are from each other.

The p-value is conformal (Vovk, Gammerman and Shafer 2005): the rank of an activation's distance to its nearest stored
input among the distances of stored inputs to their own nearest other input. An input of the prior is as likely to have
any rank, so that one in a hundred is called outside, whatever the site, its geometry and the size of the pool.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from inversescope.verdicts.thresholds import OUTSIDE, ROUNDED
from inversescope.verdicts.wording import number


@dataclass(frozen=True)
class Outside:
    """Distance of an activation to the stored inputs, beside their distances to each other.

    Attributes:
        outside: the activation is farther than the limit: nothing else may be said of it.
        nearest: δ to the nearest stored input.
        limit: δ to the nearest other input, at most, of 99 in 100 stored inputs; not less than the noise
            floor, nor than rounding.
        p_value: share of inputs that are as far from their nearest, the activation itself among them.
    """

    outside: bool
    nearest: float
    limit: float
    p_value: float

    @property
    def words(self) -> str:
        """The verdict, with its measurement."""
        nearest = f"the nearest stored input is at δ = {number(self.nearest)}"
        return f"outside of the prior: {nearest}; 99 in 100 stored inputs have another within {number(self.limit)}"


def outside(nearest: float, stored: Float[ndarray, " stored"], noise_floor: float) -> Outside:
    """The verdict from the distances of stored inputs to their own nearest other input; never outside without any.

    With fewer than 99 of them the rank cannot be so rare: then an activation is outside that is farther than all.
    """
    if not len(stored):
        return Outside(False, nearest, np.inf, 1.0)
    farther, ranks = int((stored >= nearest).sum()), len(stored) + 1
    rare = max(1, int(OUTSIDE * ranks))
    limit = max(float(np.sort(stored)[-rare]), noise_floor, ROUNDED)
    return Outside(nearest > limit, nearest, limit, (farther + 1) / ranks)
