"""From a noised activation to a condition: standardize, rotate, filter by the bandwidth, project.

Dimensions: `n` inputs, `batch` activations, `d` coordinates of the site, `width` of the condition.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inversescope.spread import Spread

# Directions with less of the standardized variance than this are rounding errors of the activations.
NEGLIGIBLE_VARIANCE = 1e-6


class SiteEncoder(nn.Module):
    """One site's encoder: a Wiener filter fitted to the site, then a learned linear map (the site encoding).

    In the eigenbasis of the standardized covariance, a coordinate of variance λ that is read through noise of variance
    d·h² has the best linear estimate λ/(λ + d·h²) times what was read (docs/method.md). Dividing it by √λ lets a
    dominant direction count no more than any other that the noise leaves readable.
    """

    def __init__(self, dimension: int, width: int):
        super().__init__()
        for name in ("mean", "deviation", "inverse", "variance"):
            self.register_buffer(name, torch.zeros(dimension))
        self.register_buffer("rotation", torch.zeros(dimension, dimension))
        self.register_buffer("varying", torch.ones(()))  # how many coordinates vary: d in the formulas
        self.project = nn.Linear(dimension, width)

    @torch.no_grad()
    def fit(self, activations: Float[Tensor, "n d"], spread: Spread, content: Float[Tensor, "n width"]) -> None:
        """Fit the filter to a site, and start the linear map as the best linear estimate of the inputs' content.

        With the filter's gain, the least-squares estimate of `content` from a noised activation is the same matrix at
        every bandwidth: the covariance of content and whitened activation. So all sites start out speaking one language,
        and the backbone learns it once.
        """
        self.mean.copy_(spread.mean)
        self.deviation.copy_(spread.deviation)
        self.inverse.copy_(spread.inverse)
        self.varying.fill_(spread.dimension)
        standardized = spread.standardize(activations)
        variance, rotation = torch.linalg.eigh((standardized.T @ standardized / len(standardized)).double())
        kept = variance > NEGLIGIBLE_VARIANCE
        self.variance.copy_(variance.where(kept, 0))
        self.rotation.copy_(rotation)
        whitened = (standardized @ self.rotation) * variance.rsqrt().where(kept, 0).float()
        self.project.weight.copy_(content.T @ whitened / len(whitened))
        self.project.bias.zero_()

    def forward(
        self, activation: Float[Tensor, "batch d"], bandwidth: Float[Tensor, " batch"]
    ) -> Float[Tensor, "batch width"]:
        standardized = (activation - self.mean) * self.inverse
        noise_variance = self.varying * bandwidth[:, None] ** 2
        gain = self.variance.sqrt() / (self.variance + noise_variance)
        return self.project((standardized @ self.rotation) * gain)

    def noised(
        self, activation: Float[Tensor, "batch d"], bandwidth: Float[Tensor, " batch"], rng: torch.Generator
    ) -> Float[Tensor, "batch d"]:
        """The activation seen through the channel of width h: deviation h·√d in each standardized coordinate."""
        noise = torch.randn(activation.shape, generator=rng, device=activation.device)
        return activation + noise * (bandwidth[:, None] * self.varying.sqrt()) * self.deviation
