"""Units of a site: mean and standard deviation of its coordinates over the prior.

Dimensions: `d` coordinates of a site, `n` inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Units:
    """Standardization of a site: mean and standard deviation of each coordinate over `count` inputs of the prior.

    A coordinate that never varies is left out: it distinguishes no inputs.
    """

    mean: Float[Tensor, " d"]
    deviation: Float[Tensor, " d"]
    count: int

    @classmethod
    def of(cls, activations: Float[Tensor, "n d"], probability: Float[Tensor, " n"] | None = None) -> Units:
        """Units from at least two activations, in float32.

        With probabilities, which sum to one, the inputs are the whole prior; without, draws from it.
        """
        moments = Moments()
        moments.add(activations, probability)
        return moments.units()

    def to(self, device: torch.device) -> Units:
        """Copy on another device."""
        return Units(self.mean.to(device), self.deviation.to(device), self.count)

    @property
    def inverse(self) -> Float[Tensor, " d"]:
        """1 / standard deviation; 0 where the coordinate never varies."""
        return (1 / self.deviation).where(self.deviation > 0, 0.0)

    @property
    def dimension(self) -> int:
        """Number of coordinates that vary, at least 1: d in the formulas."""
        return max(1, int((self.deviation > 0).sum()))

    def standardize(self, activations: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Each coordinate minus its mean, divided by its standard deviation."""
        return (activations - self.mean) * self.inverse

    def distance(self, left: Float[Tensor, "*n d"], right: Float[Tensor, "*n d"]) -> Float[Tensor, "*n"]:
        """δ of standardized activations: the root of their mean squared difference over the coordinates that vary."""
        return (((left - right) ** 2).sum(-1) / self.dimension).sqrt()

    def isotropic(self) -> Units:
        """The same with one scale for the whole site, the root mean square of the standard deviations."""
        scale = (self.deviation.double() ** 2).mean().sqrt().float()
        return Units(self.mean, torch.full_like(self.deviation, float(scale)), self.count)


class Moments:
    """Running mean and sum of squares of each coordinate, batch by batch (Chan, Golub, LeVeque 1983)."""

    def __init__(self) -> None:
        self._count = 0
        self._weight = 0.0
        self._mean = self._squares = torch.zeros(1, dtype=torch.float64)
        self._draws = True

    def add(self, activations: Float[Tensor, "n d"], probability: Float[Tensor, " n"] | None = None) -> None:
        """Add a batch: draws from the prior, or inputs with their probabilities; the same kind in every batch."""
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

    def units(self) -> Units:
        """Units from all batches, in float32; needs at least two inputs."""
        assert self._count > 1
        deviation = (self._squares / (self._count - 1 if self._draws else self._weight)).sqrt()
        # Rounding gives a constant coordinate a deviation of about this size; below `tiny`, 1/deviation is infinite.
        constant = deviation <= (1e-6 * self._mean.abs()).clamp_min(torch.finfo(torch.float32).tiny)
        return Units(self._mean.float(), deviation.masked_fill(constant, 0).float(), self._count)
