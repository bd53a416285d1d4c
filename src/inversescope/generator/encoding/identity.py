"""From an activation to an encoding by one linear map, initialised as the identity."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inversescope.generator.encoding.encoder import Encoder
from inversescope.generator.fourier import FEATURES, fourier
from inversescope.generator.input_pca import InputPCA
from inversescope.generator.site_channel import SiteChannel


class IdentityEncoder(Encoder):
    """One map for each site, initialised as the identity where the site is as wide as the backbone, else as orthogonal.

    Meant for the subject as its own backbone: the activation re-enters the model it came from. The encoding has the
    scale of the backbone's token embeddings, the usual input of a first block; in the subject's own units late
    activations are hundreds of times larger, and a few coordinates are larger than all others together.
    """

    def __init__(self, dimensions: Sequence[int], width: int):
        super().__init__(width)
        nn.init.normal_(self.null)  # of the size of an activation: a layer norm of zeros is zero
        self.maps = nn.ModuleList(nn.Linear(d, width, bias=False) for d in dimensions)
        self.bandwidth = nn.Linear(FEATURES, width)
        self.register_buffer("scale", torch.ones(()))
        for weight in self.maps.parameters():
            initialise = nn.init.eye_ if weight.shape[0] == weight.shape[1] else nn.init.orthogonal_
            initialise(weight)
        nn.init.zeros_(self.bandwidth.weight)
        nn.init.zeros_(self.bandwidth.bias)

    scale: Tensor

    @torch.no_grad()
    def fit(self, pca: InputPCA, embeddings: Float[Tensor, "vocabulary width"]) -> None:
        self.scale.copy_(embeddings.square().mean().sqrt())

    def encode(
        self,
        site: int,
        channel: SiteChannel,
        activation: Float[Tensor, "batch d"],
        bandwidth: Float[Tensor, " batch"],
    ) -> Float[Tensor, "batch width"]:
        mapped = self.maps[site](channel.scaled(activation, bandwidth))
        return self.scale * (mapped + self.bandwidth(fourier(bandwidth)))

    def null_condition(self, batch: int) -> tuple[Float[Tensor, "batch bypass"], Float[Tensor, "batch width"]]:
        bypass, encoding = super().null_condition(batch)
        return bypass, self.scale * encoding
