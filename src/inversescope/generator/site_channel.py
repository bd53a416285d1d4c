"""What surrounds an activation: the noise of the channel, and the known inputs near it.

Dimensions: `n` inputs, `known` of them kept, `batch` activations, `d` coordinates of the site.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from inversescope.units import Spread


class Neighbourhood(nn.Module):
    """One site's units, and its activations of known inputs.

    Training makes its examples with it whatever the encoder is: noise, and clean targets answered by their neighbours.
    """

    def __init__(self, dimension: int, known: int):
        super().__init__()
        for name in ("mean", "deviation", "inverse"):
            self.register_buffer(name, torch.zeros(dimension))
        self.register_buffer("varying", torch.ones(()))  # how many coordinates vary: d in the formulas
        self.register_buffer("known", torch.zeros(known, dimension))
        self.register_buffer("squares", torch.zeros(known))  # the squared norm of each known activation
        self.register_buffer("log_prior", torch.zeros(known))  # ln P of each, but for a constant; 0 for draws

    mean: Tensor
    deviation: Tensor
    inverse: Tensor
    varying: Tensor
    known: Tensor
    squares: Tensor
    log_prior: Tensor

    @property
    def dimension(self) -> int:
        """The site's coordinates, those that never vary included."""
        return len(self.mean)

    @torch.no_grad()
    def fit(
        self,
        activations: Float[Tensor, "n d"],
        spread: Spread,
        known: Int[Tensor, " known"],
        probability: Float[Tensor, " n"] | None = None,
    ) -> None:
        """Take over the site's spread, and keep the rows `known`, with their probability if they are not draws."""
        self.mean.copy_(spread.mean)
        self.deviation.copy_(spread.deviation)
        self.inverse.copy_(spread.inverse)
        self.varying.fill_(spread.dimension)
        self.known.copy_(spread.standardize(activations[known]))
        self.squares.copy_((self.known**2).sum(1))
        if probability is not None:
            self.log_prior.copy_(probability[known].log())

    def standardize(self, activation: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
        """Each coordinate minus its mean, divided by its standard deviation."""
        return (activation - self.mean) * self.inverse

    def variance(self, bandwidth: Float[Tensor, " batch"]) -> Float[Tensor, "batch 1"]:
        """Of the channel's noise in each standardized coordinate: d·h²."""
        return self.varying * bandwidth[:, None] ** 2

    def scaled(
        self, activation: Float[Tensor, "batch d"], bandwidth: Float[Tensor, " batch"]
    ) -> Float[Tensor, "batch d"]:
        """Standardized, and of variance 1 once noised: at large h the noise is many times what it hides."""
        return self.standardize(activation) * (1 + self.variance(bandwidth)).rsqrt()

    @torch.no_grad()
    def weights(
        self,
        activation: Float[Tensor, "batch d"],
        bandwidth: Float[Tensor, " batch"],
        itself: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch known"]:
        """P(x) k(δ/h) over the known inputs, normalised.

        `itself` is the place of each activation's own input among the known ones, which is left out; −1: not known.
        """
        # −d·δ²/2 but for what is the same for all known inputs, which the softmax takes out again.
        logs = torch.addmm(self.squares, self.standardize(activation), self.known.T, beta=-0.5)
        if itself is not None:
            rows = torch.nonzero(itself >= 0)[:, 0]
            logs[rows, itself[rows]] = -torch.inf
        return logs.div_(self.variance(bandwidth)).add_(self.log_prior).softmax(1)

    def noised(
        self, activation: Float[Tensor, "batch d"], bandwidth: Float[Tensor, " batch"], rng: torch.Generator
    ) -> Float[Tensor, "batch d"]:
        """The activation seen through the channel of width h: deviation h·√d in each standardized coordinate."""
        noise = torch.randn(activation.shape, generator=rng).to(activation)
        return activation + noise * (bandwidth[:, None] * self.varying.sqrt()) * self.deviation
