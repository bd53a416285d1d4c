"""The pool beside the targets of one site: distances, and the posterior at every bandwidth, computed once.

Dimensions: `pool` inputs, `targets`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from inversescope.stats.weights import posterior


@dataclass(frozen=True)
class SitePool:
    """The pool at one site.

    Attributes:
        distances: δ from every input of the pool to every target, as stored.
        probability: P of the inputs; all alike where they are draws.
        exact: the pool is the whole prior, and holds the targets themselves.
        posterior: P(x; ẑ, s, h) over the pool, by bandwidth.
    """

    distances: Float[ndarray, "pool targets"]
    probability: Float[ndarray, " pool"]
    exact: bool
    posterior: Mapping[float, Float[ndarray, "targets pool"]]

    @classmethod
    def of(
        cls,
        distances: Float[ndarray, "pool targets"],
        probability: Float[ndarray, " pool"],
        exact: bool,
        bandwidths: Sequence[float],
    ) -> Self:
        """The pool with its posterior at each of the bandwidths."""
        by_target, log_prior = distances.T.astype(float), np.log(probability)
        return cls(distances, probability, exact, {h: posterior(by_target, h, log_prior) for h in bandwidths})
