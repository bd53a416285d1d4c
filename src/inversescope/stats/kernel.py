"""Kernels: weight of an input by its distance from the target, and the posterior that follows."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from inversescope.stats.weights import normalise


class Kernel(StrEnum):
    """k(u) at u = δ/h: exp(−u²/2) of the Gaussian kernel; of the ball 1 up to u = 1, else 0."""

    GAUSSIAN = "gaussian"
    BALL = "ball"

    def log(
        self, distances: Float[ndarray, "*shape"], bandwidth: float | Float[ndarray, "*#shape"]
    ) -> Float[ndarray, "*shape"]:
        """ln k(δ/h)."""
        if self is Kernel.BALL:
            return np.where(distances <= bandwidth, 0.0, -np.inf)
        return -0.5 * (distances / bandwidth) ** 2

    def log_posterior(
        self,
        distances: Float[ndarray, "*shape"],
        bandwidth: float | Float[ndarray, "*#shape"],
        log_prior: Float[ndarray, "*shape"],
    ) -> Float[ndarray, "*shape"]:
        """ln of P(x) k(δ/h), not normalised; −inf where the distance is not known (NaN): what was not verified has
        none.
        """
        logs = log_prior + self.log(distances, bandwidth)
        return np.where(np.isnan(logs), -np.inf, logs)

    def posterior(
        self, distances: Float[ndarray, "targets inputs"], bandwidth: float, log_prior: Float[ndarray, " inputs"]
    ) -> Float[ndarray, "targets inputs"]:
        """P(x; ẑ, s, h) over inputs that stand for the prior, such as a pool: exact where they are the whole prior. All
        zero around a target that has none of them within the ball.
        """
        return normalise(self.log_posterior(distances, bandwidth, np.broadcast_to(log_prior, distances.shape)))
