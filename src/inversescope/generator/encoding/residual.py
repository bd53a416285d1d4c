"""From an activation to a condition by a deep residual network: all it knows, it learns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inversescope.generator.encoding.encoder import Encoder
from inversescope.generator.fourier import FEATURES, fourier
from inversescope.generator.site_channel import Neighbourhood

LAYERS = 6
SITE = 16  # numbers that say which site


class Residual(nn.Module):
    """A layer norm and an MLP, added to what they read."""

    def __init__(self, width: int):
        super().__init__()
        self.change = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, hidden: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        return hidden + self.change(hidden)


class ResidualEncoder(Encoder):
    """As InversionView describes its encoder (arXiv 2405.17653): activation and site side by side, then six residual
    MLPs; here the bandwidth stands beside them. Sites of one dimension share the map that reads them.
    """

    def __init__(self, dimensions: Sequence[int], width: int):
        super().__init__(width)
        nn.init.normal_(self.null)  # as large as an activation: a norm has no use for zeros
        self.dimensions = tuple(dimensions)
        self.site = nn.Embedding(len(self.dimensions), SITE)
        self.read = nn.ModuleDict(
            {str(d): nn.Linear(d + SITE + FEATURES, width) for d in dict.fromkeys(self.dimensions)}
        )
        self.layers = nn.Sequential(*(Residual(width) for _ in range(LAYERS)))

    def encode(
        self,
        site: int,
        neighbourhood: Neighbourhood,
        activation: Float[Tensor, "batch d"],
        bandwidth: Float[Tensor, " batch"],
    ) -> Float[Tensor, "batch width"]:
        which = self.site.weight[site].expand(len(activation), -1)
        given = torch.cat((neighbourhood.scaled(activation, bandwidth), which, fourier(bandwidth)), dim=1)
        return self.layers(self.read[str(self.dimensions[site])](given))

    def inside(self) -> Iterable[nn.Parameter]:
        return self.layers.parameters()
