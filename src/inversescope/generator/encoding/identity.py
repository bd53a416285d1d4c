"""From an activation to a condition by one linear map, started as none at all."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from inversescope.generator.encoding.encoder import Encoder
from inversescope.generator.fourier import FEATURES, fourier
from inversescope.generator.input_pca import Content
from inversescope.generator.site_channel import Neighbourhood


class IdentityEncoder(Encoder):
    """One map a site, started as the identity where the site is as wide as the backbone, else as orthogonal.

    Meant for the subject as its own backbone: the activation re-enters the model that made it, each coordinate as
    itself. Its scale is that of the backbone's token embeddings, which is what a first block expects. The subject's own
    units would not do: late activations are hundreds of times larger, and in a few coordinates more than in all others.
    """

    def __init__(self, dimensions: Sequence[int], width: int):
        super().__init__(width)
        nn.init.normal_(self.null)  # as large as an activation: a norm has no use for zeros
        self.maps = nn.ModuleList(nn.Linear(d, width, bias=False) for d in dimensions)
        self.bandwidth = nn.Linear(FEATURES, width)
        self.register_buffer("scale", torch.ones(()))
        for weight in self.maps.parameters():
            start = nn.init.eye_ if weight.shape[0] == weight.shape[1] else nn.init.orthogonal_
            start(weight)
        nn.init.zeros_(self.bandwidth.weight)
        nn.init.zeros_(self.bandwidth.bias)

    scale: Tensor

    @torch.no_grad()
    def fit(self, says: Content, known: Int[Tensor, " known"], embeddings: Float[Tensor, "vocabulary width"]) -> None:
        self.scale.copy_(embeddings.square().mean().sqrt())

    def encode(
        self,
        site: int,
        neighbourhood: Neighbourhood,
        activation: Float[Tensor, "batch d"],
        bandwidth: Float[Tensor, " batch"],
    ) -> Float[Tensor, "batch width"]:
        read = self.maps[site](neighbourhood.scaled(activation, bandwidth))
        return self.scale * (read + self.bandwidth(fourier(bandwidth)))

    def nothing(self, batch: int) -> tuple[Float[Tensor, "batch estimated"], Float[Tensor, "batch width"]]:
        estimate, encoded = super().nothing(batch)
        return estimate, self.scale * encoded
