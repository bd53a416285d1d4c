"""Interface of an encoder: from an activation and a bandwidth to a condition. One encoder serves all sites.

A condition has two parts. The `encoding` enters the decoder through the conditioning. The `bypass` acts on the
next-token distribution directly, as token bias and neighbour LM; only the encoder "regression" has one.

Dimensions: `stored` inputs, `batch` activations, `d` coordinates of a site, `width` of the hidden state,
`bypass` numbers.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inversescope.generator.input_pca import InputPCA
from inversescope.generator.neighbour_lm import NeighbourLM
from inversescope.generator.site_channel import SiteChannel
from inversescope.generator.token_bias import BiasTables


class Encoder(nn.Module):
    """Encoder of all sites, each known by its index."""

    bypass_width = 0

    def __init__(self, width: int):
        super().__init__()
        self.null = nn.Parameter(torch.zeros(width))  # in place of an activation, for the prior

    def fit(self, pca: InputPCA, embeddings: Float[Tensor, "vocabulary width"]) -> None:
        """Fit before training: to the stored inputs and their components, and the decoder's token embeddings."""

    def fit_site(
        self,
        site: int,
        channel: SiteChannel,
        activations: Float[Tensor, "stored d"],
        components: Float[Tensor, "stored width"],
    ) -> None:
        """Fit before training: to the stored inputs' activations at a site, and their components."""

    def forward(
        self,
        site: int,
        channel: SiteChannel,
        activation: Float[Tensor, "batch d"],
        bandwidth: Float[Tensor, " batch"],
        weights: Float[Tensor, "batch stored"] | None = None,
    ) -> tuple[Float[Tensor, "batch bypass"], Float[Tensor, "batch width"]]:
        """Bypass and encoding; `weights` are those of the stored inputs, computed if left out."""
        return activation[:, :0], self.encode(site, channel, activation, bandwidth)

    def encode(
        self,
        site: int,
        channel: SiteChannel,
        activation: Float[Tensor, "batch d"],
        bandwidth: Float[Tensor, " batch"],
    ) -> Float[Tensor, "batch width"]:
        """The encoding, for an encoder without a bypass."""
        raise NotImplementedError

    def null_condition(self, batch: int) -> tuple[Float[Tensor, "batch bypass"], Float[Tensor, "batch width"]]:
        """Bypass and encoding of the prior."""
        encoding = self.null.expand(batch, -1)
        return encoding[:, :0], encoding

    def bias_tables(self, bypass: Float[Tensor, "batch bypass"]) -> BiasTables | None:
        """Tables of the token bias."""
        return None

    def neighbour_lm(self, bypass: Float[Tensor, "batch bypass"]) -> NeighbourLM | None:
        """The neighbours and their weight."""
        return None

    def hidden_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters between hidden states; Muon trains the matrices among them."""
        return ()
