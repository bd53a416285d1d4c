"""A site's own units: mean and spread over the prior, and the distance δ measured in them.

Dimensions: `d` coordinates of a site, `n` inputs, `m` other inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of every coordinate of a site over `count` inputs of the prior.

    A coordinate that never varies tells inputs apart no more than a constant does: it is left out.
    """

    mean: Float[Tensor, " d"]
    deviation: Float[Tensor, " d"]
    count: int

    @classmethod
    def of(cls, activations: Float[Tensor, "n d"], probability: Float[Tensor, " n"] | None = None) -> Spread:
        """The spread of these activations, in float32; at least two of them.

        With probabilities, which sum to one, they are the whole prior; without, draws from it.
        """
        moments = Moments()
        moments.add(activations, probability)
        return moments.spread()

    def to(self, device: torch.device) -> Spread:
        """The same on another device."""
        return Spread(self.mean.to(device), self.deviation.to(device), self.count)

    @property
    def inverse(self) -> Float[Tensor, " d"]:
        """1 / standard deviation, and 0 where the coordinate never varies."""
        return (1 / self.deviation).where(self.deviation > 0, 0.0)

    @property
    def dimension(self) -> int:
        """The number of coordinates that vary, at least 1: d in the formulas."""
        return max(1, int((self.deviation > 0).sum()))

    def standardize(self, activations: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Each coordinate minus its mean, divided by its standard deviation."""
        return (activations - self.mean) * self.inverse

    def distances(self, activations: Float[Tensor, "n d"], targets: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
        """δ: root mean square of the differences of standardized coordinates; about √2 between unrelated inputs."""
        left, right = self.standardize(activations), self.standardize(targets)
        # The other mode is faster, and leaves equal activations a little apart.
        return torch.cdist(left, right, compute_mode="donot_use_mm_for_euclid_dist") / self.dimension**0.5


class Moments:
    """Mean and squares of every coordinate of a site, from its activations part by part (Chan, Golub, LeVeque 1983)."""

    def __init__(self) -> None:
        self._count = 0
        self._weight = 0.0
        self._mean = self._squares = torch.zeros(1, dtype=torch.float64)
        self._draws = True

    def add(self, activations: Float[Tensor, "n d"], probability: Float[Tensor, " n"] | None = None) -> None:
        """Take in a part: draws from the prior, or inputs of it with their probabilities, as every other part."""
        exact, weights = activations.double(), torch.ones(len(activations), dtype=torch.float64)
        if probability is not None:
            weights = probability.double()
        mean = weights @ exact / weights.sum()
        share = weights.sum() / (self._weight + weights.sum())
        gap = mean - self._mean
        self._squares = self._squares + weights @ (exact - mean) ** 2 + gap**2 * self._weight * share
        self._mean = self._mean + gap * share
        self._weight += float(weights.sum())
        self._count += len(activations)
        self._draws = probability is None

    def spread(self) -> Spread:
        """The spread of all parts, in float32; together they are at least two inputs."""
        assert self._count > 1
        deviation = (self._squares / (self._count - 1 if self._draws else self._weight)).sqrt()
        # Rounding leaves a constant coordinate with a deviation of about this much; below tiny, 1/deviation is inf.
        constant = deviation <= (1e-6 * self._mean.abs()).clamp_min(torch.finfo(torch.float32).tiny)
        return Spread(self._mean.float(), deviation.masked_fill(constant, 0).float(), self._count)
