"""A site's units, noise channel and kernel weights over its stored inputs.

Dimensions: `stored` inputs, `batch` activations, `d` coordinates of the site.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from inversescope.units import Units


class SiteChannel(nn.Module):
    """Units of one site, and its standardized activations of the stored inputs.

    Independent of the encoder: training needs the noise and the kernel weights for every encoder.
    """

    def __init__(self, dimension: int, stored: int):
        super().__init__()
        for name in ("mean", "deviation", "inverse"):
            self.register_buffer(name, torch.zeros(dimension))
        self.register_buffer("varying", torch.ones(()))  # number of coordinates that vary: d in the formulas
        self.register_buffer("stored", torch.zeros(stored, dimension))
        self.register_buffer("squared_norms", torch.zeros(stored))
        self.register_buffer("log_prior", torch.zeros(stored))  # ln P up to a constant; 0 for draws from the prior

    mean: Tensor
    deviation: Tensor
    inverse: Tensor
    varying: Tensor
    stored: Tensor
    squared_norms: Tensor
    log_prior: Tensor

    @property
    def dimension(self) -> int:
        """Number of coordinates of the site, constant ones included."""
        return len(self.mean)

    @torch.no_grad()
    def fit(self, activations: Float[Tensor, "stored d"], units: Units, log_prior: Float[Tensor, " stored"]) -> None:
        """Copy the units, and the activations and ln P of the stored inputs: 0 for draws from the prior, −∞ for an
        input whose activation is not known.
        """
        self.mean.copy_(units.mean)
        self.deviation.copy_(units.deviation)
        self.inverse.copy_(units.inverse)
        self.varying.fill_(units.dimension)
        self.stored.copy_(units.standardize(activations))
        self.squared_norms.copy_((self.stored**2).sum(1))
        self.log_prior.copy_(log_prior)

    def standardize(self, activation: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
        """Each coordinate minus its mean, divided by its standard deviation."""
        return (activation - self.mean) * self.inverse

    def variance(self, bandwidth: Float[Tensor, " batch"]) -> Float[Tensor, "batch 1"]:
        """Noise variance of the channel in each standardized coordinate: d·h²."""
        return self.varying * bandwidth[:, None] ** 2

    def scaled(
        self, activation: Float[Tensor, "batch d"], bandwidth: Float[Tensor, " batch"]
    ) -> Float[Tensor, "batch d"]:
        """Standardized activation over √(1 + d·h²): of variance 1 after the noise, also at large h."""
        return self.standardize(activation) * (1 + self.variance(bandwidth)).rsqrt()

    @torch.no_grad()
    def weights(
        self,
        activation: Float[Tensor, "batch d"],
        bandwidth: Float[Tensor, " batch"],
        exclude: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch stored"]:
        """Posterior weights P(x) k(δ/h) of the stored inputs, normalised.

        `exclude` is the index of a stored input that has no weight in that row; −1 for none.
        """
        # −d·δ²/2, up to a constant over the stored inputs that the softmax cancels.
        logs = torch.addmm(self.squared_norms, self.standardize(activation), self.stored.T, beta=-0.5)
        if exclude is not None:
            rows = torch.nonzero(exclude >= 0)[:, 0]
            logs[rows, exclude[rows]] = -torch.inf
        return logs.div_(self.variance(bandwidth)).add_(self.log_prior).softmax(1)

    def noised(
        self, activation: Float[Tensor, "batch d"], bandwidth: Float[Tensor, " batch"], rng: torch.Generator
    ) -> Float[Tensor, "batch d"]:
        """Activation plus Gaussian noise of standard deviation h·√d in each standardized coordinate."""
        noise = torch.randn(activation.shape, generator=rng).to(activation)
        return activation + noise * (bandwidth[:, None] * self.varying.sqrt()) * self.deviation
