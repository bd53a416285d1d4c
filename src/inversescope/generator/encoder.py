"""From a noised activation to a condition: two estimates of what the input says, each trusted where it is good.

Dimensions: `n` inputs, `known` of them kept, `batch` activations, `d` coordinates of the site, `width` of a condition.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from inversescope.generator.fourier import FEATURES, fourier
from inversescope.spread import Spread

# Directions with less of the standardized variance than this are rounding errors of the activations.
NEGLIGIBLE_VARIANCE = 1e-6
_HIDDEN = 64  # of the small network that weighs the two estimates
EVEN = 4  # effective sample size of the kernel estimate at which it is worth as much as the linear one, to start with


class Estimates(nn.Module):
    """One estimate of the two: how far the kernel's is trusted over the linear one, for each number of the content.

    Shared by all sites: it knows the bandwidth, and ln of the effective sample size of the kernel estimate. It starts
    out trusting both alike where `EVEN` inputs are near, and the kernel estimate nearly alone where many are. The
    condition is this estimate, scaled and with an offset that say how sure it is.
    """

    def __init__(self, width: int):
        super().__init__()
        last = nn.Linear(_HIDDEN, 3 * width)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.weigh = nn.Sequential(nn.Linear(FEATURES + 1, _HIDDEN), nn.SiLU(), last)

    def forward(
        self,
        linear: Float[Tensor, "batch width"],
        kernel: Float[Tensor, "batch width"],
        size: Float[Tensor, " batch"],
        bandwidth: Float[Tensor, " batch"],
    ) -> tuple[Float[Tensor, "batch width"], Float[Tensor, "batch width"]]:
        """The estimate, and the condition made of it."""
        size = size.log()[:, None]
        learned, scale, offset = self.weigh(torch.cat((fourier(bandwidth), size / 4), dim=1)).chunk(3, dim=1)
        trust = (2 * (size - math.log(EVEN)) + learned).sigmoid()
        estimate = (scale.exp() * linear).lerp(kernel, trust)
        return estimate, estimate + offset


class SiteEncoder(nn.Module):
    """One site's encoder. Both estimates are fitted in closed form; the linear one is trained from there.

    Linear: in the eigenbasis of the standardized covariance, a coordinate of variance λ that is read through noise of
    variance d·h² has the best linear estimate λ/(λ + d·h²) times what was read (a Wiener filter). It sees every
    direction that the noise leaves readable, and is best at small bandwidths.

    Kernel: the mean content of known inputs, weighted by k(δ/h) (Nadaraya 1964, Watson 1964). It is what the reference
    computes, from other inputs, and is best where many inputs are near.
    """

    def __init__(self, dimension: int, known: int, width: int):
        super().__init__()
        for name in ("mean", "deviation", "inverse", "variance"):
            self.register_buffer(name, torch.zeros(dimension))
        self.register_buffer("rotation", torch.zeros(dimension, dimension))
        self.register_buffer("varying", torch.ones(()))  # how many coordinates vary: d in the formulas
        self.register_buffer("known", torch.zeros(known, dimension))
        self.register_buffer("squares", torch.zeros(known))  # the squared norm of each known activation
        self.register_buffer("content", torch.zeros(known, width))
        self.project = nn.Linear(dimension, width)

    mean: Tensor
    deviation: Tensor
    inverse: Tensor
    variance: Tensor
    rotation: Tensor
    varying: Tensor
    known: Tensor
    squares: Tensor
    content: Tensor

    @torch.no_grad()
    def fit(
        self,
        activations: Float[Tensor, "n d"],
        spread: Spread,
        content: Float[Tensor, "n width"],
        known: Int[Tensor, " known"],
    ) -> None:
        """Fit both estimates of the inputs' content to a site; `known` are the rows that are kept.

        With the filter's gain, the least-squares estimate from a noised activation is the same matrix at every
        bandwidth: the covariance of content and whitened activation. So all sites start out speaking one language, and
        the backbone learns it once.
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
        self.known.copy_(standardized[known])
        self.squares.copy_((self.known**2).sum(1))
        self.content.copy_(content[known])

    def forward(
        self,
        activation: Float[Tensor, "batch d"],
        bandwidth: Float[Tensor, " batch"],
        weights: Float[Tensor, "batch known"] | None = None,
    ) -> tuple[Float[Tensor, "batch width"], Float[Tensor, "batch width"], Float[Tensor, " batch"]]:
        """The linear estimate, the kernel estimate, and the effective sample size of the latter.

        `weights` are those of the known inputs (`neighbours`), for a caller who has them.
        """
        if weights is None:
            weights = self.neighbours(activation, bandwidth)
        standardized = (activation - self.mean) * self.inverse
        gain = self.variance.sqrt() / (self.variance + self.varying * bandwidth[:, None] ** 2)
        return self.project((standardized @ self.rotation) * gain), weights @ self.content, 1 / (weights**2).sum(1)

    @torch.no_grad()
    def neighbours(
        self,
        activation: Float[Tensor, "batch d"],
        bandwidth: Float[Tensor, " batch"],
        itself: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch known"]:
        """Weights k(δ/h) over the known inputs, normalised.

        `itself` is the place of each activation's own input among the known ones, which is left out; −1: not known.
        """
        standardized = (activation - self.mean) * self.inverse
        # −d·δ²/2 but for what is the same for all known inputs, which the softmax takes out again.
        logs = torch.addmm(self.squares, standardized, self.known.T, beta=-0.5)
        if itself is not None:
            rows = torch.nonzero(itself >= 0)[:, 0]
            logs[rows, itself[rows]] = -torch.inf
        return logs.div_(self.varying * bandwidth[:, None] ** 2).softmax(1)

    def noised(
        self, activation: Float[Tensor, "batch d"], bandwidth: Float[Tensor, " batch"], rng: torch.Generator
    ) -> Float[Tensor, "batch d"]:
        """The activation seen through the channel of width h: deviation h·√d in each standardized coordinate."""
        noise = torch.randn(activation.shape, generator=rng).to(activation)
        return activation + noise * (bandwidth[:, None] * self.varying.sqrt()) * self.deviation
