"""From an activation to an encoding by a deep residual network; nothing is fitted before training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inversescope.generator.encoding.encoder import Encoder
from inversescope.generator.fourier import FEATURES, fourier
from inversescope.generator.site_channel import SiteChannel

LAYERS = 6
SITE_WIDTH = 16  # of the learned embedding of a site


class Residual(nn.Module):
    """Layer norm and MLP with a residual connection."""

    def __init__(self, width: int):
        super().__init__()
        self.change = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, hidden: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        return hidden + self.change(hidden)


class ResidualEncoder(Encoder):
    """InversionView's encoder (arXiv 2405.17653): activation and site embedding, concatenated, then six residual MLPs.

    Here features of the bandwidth are concatenated too. Sites of the same dimension share their first linear map.
    """

    def __init__(self, dimensions: Sequence[int], width: int):
        super().__init__(width)
        nn.init.normal_(self.null)  # of the size of an activation: a layer norm of zeros is zero
        self.dimensions = tuple(dimensions)
        self.site = nn.Embedding(len(self.dimensions), SITE_WIDTH)
        self.read = nn.ModuleDict(
            {str(d): nn.Linear(d + SITE_WIDTH + FEATURES, width) for d in dict.fromkeys(self.dimensions)}
        )
        self.layers = nn.Sequential(*(Residual(width) for _ in range(LAYERS)))

    def encode(
        self,
        site: int,
        channel: SiteChannel,
        activation: Float[Tensor, "batch d"],
        bandwidth: Float[Tensor, " batch"],
    ) -> Float[Tensor, "batch width"]:
        embedding = self.site.weight[site].expand(len(activation), -1)
        features = torch.cat((channel.scaled(activation, bandwidth), embedding, fourier(bandwidth)), dim=1)
        return self.layers(self.read[str(self.dimensions[site])](features))

    def hidden_parameters(self) -> Iterable[nn.Parameter]:
        return self.layers.parameters()
