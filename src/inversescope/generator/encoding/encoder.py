"""What an encoder does: one for all sites, which it knows by number.

Dimensions: `n` inputs, `known` of them kept, `batch` activations, `d` coordinates of a site, `width` of the hidden
state, `estimated` numbers of an estimate of the content, of which most encoders make none.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from inversescope.generator.input_pca import Content
from inversescope.generator.neighbour_lm import Witnesses
from inversescope.generator.site_channel import Neighbourhood
from inversescope.generator.token_bias import Expected


class Encoder(nn.Module):
    """Makes of an activation what the conditioning is given, and perhaps an estimate of what the input says."""

    estimated = 0

    def __init__(self, width: int):
        super().__init__()
        self.null = nn.Parameter(torch.zeros(width))  # what stands for no activation

    def fit(self, says: Content, known: Int[Tensor, " known"], embeddings: Float[Tensor, "vocabulary width"]) -> None:
        """Before training: what inputs say, which of them are known, and the backbone's embeddings of its tokens."""

    def fit_site(
        self,
        site: int,
        neighbourhood: Neighbourhood,
        activations: Float[Tensor, "n d"],
        components: Float[Tensor, "n width"],
        known: Int[Tensor, " known"],
    ) -> None:
        """Before training: a site's activations of inputs, what these say, and which of them are known."""

    def forward(
        self,
        site: int,
        neighbourhood: Neighbourhood,
        activation: Float[Tensor, "batch d"],
        bandwidth: Float[Tensor, " batch"],
        weights: Float[Tensor, "batch known"] | None = None,
    ) -> tuple[Float[Tensor, "batch estimated"], Float[Tensor, "batch width"]]:
        """The estimate, and what the conditioning is given.

        `weights` are those of the known inputs (`Neighbourhood.weights`), for a caller who has them.
        """
        return activation[:, :0], self.encode(site, neighbourhood, activation, bandwidth)

    def encode(
        self,
        site: int,
        neighbourhood: Neighbourhood,
        activation: Float[Tensor, "batch d"],
        bandwidth: Float[Tensor, " batch"],
    ) -> Float[Tensor, "batch width"]:
        """What the conditioning is given, of an encoder that makes no estimate."""
        raise NotImplementedError

    def nothing(self, batch: int) -> tuple[Float[Tensor, "batch estimated"], Float[Tensor, "batch width"]]:
        """What `forward` gives, for no activation."""
        encoded = self.null.expand(batch, -1)
        return encoded[:, :0], encoded

    def expected(self, estimate: Float[Tensor, "batch estimated"]) -> Expected | None:
        """What an estimate leads to expect of the tokens."""
        return None

    def witnesses(self, estimate: Float[Tensor, "batch estimated"]) -> Witnesses | None:
        """Known inputs that are heard beside the backbone."""
        return None

    def inside(self) -> Iterable[nn.Parameter]:
        """The weights inside the network, between hidden states: Muon trains the matrices among them."""
        return ()
