"""The pool beside the targets of one site: distances, and the posterior at every bandwidth, computed once.

Dimensions: `pool` inputs, `known` inputs beside it, `inputs` of both, `targets`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from inversescope.collect.inputs import KnownInputs
from inversescope.stats.kernel import Kernel


@dataclass(frozen=True)
class SitePool:
    """The pool at one site.

    Attributes:
        distances: δ from every input of the pool to every target, as stored.
        probability: P of the inputs; all alike where they are draws.
        exact: the pool is the whole prior, and holds the targets themselves.
        reference: δ from every target to the inputs of the reference: the pool's, and behind them the known ones.
        posterior: P(x; ẑ, s, h) over the inputs of the reference, by bandwidth.
    """

    distances: Float[ndarray, "pool targets"]
    probability: Float[ndarray, " pool"]
    exact: bool
    reference: Float[ndarray, "targets inputs"]
    posterior: Mapping[float, Float[ndarray, "targets inputs"]]

    @classmethod
    def of(
        cls,
        distances: Float[ndarray, "pool targets"],
        probability: Float[ndarray, " pool"],
        exact: bool,
        bandwidths: Sequence[float],
        kernel: Kernel,
        known: Known | None = None,
    ) -> Self:
        """The pool with the posterior at each of the bandwidths; `known` inputs are a stratum of their own."""
        by_target, shares = distances.T, probability
        if known is not None:
            by_target = np.concatenate((by_target, known.distances.T), axis=1)
            shares = known.inputs.shares
        by_target = by_target.astype(float)
        weights = {h: kernel.posterior(by_target, h, np.log(shares)) for h in bandwidths}
        return cls(distances, probability, exact, by_target, weights)


class Known(NamedTuple):
    """Inputs that the pool lacks, and δ from each to every target."""

    distances: Float[ndarray, "known targets"]
    inputs: KnownInputs
