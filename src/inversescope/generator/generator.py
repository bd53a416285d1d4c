"""q(x | ẑ, s, h): one conditional model for all sites and all bandwidths, and the prior q(x | ∅) beside them.

Dimensions: `n` inputs, `batch` rows, `d` coordinates of a site, `width` of the condition, `positions` tokens.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from inversescope.generator.backbone import Cache, Decoder
from inversescope.generator.conditioning import AdaptiveLayerNorm
from inversescope.generator.content import content
from inversescope.generator.encoder import Estimates, SiteEncoder
from inversescope.generator.vocabulary import BOUNDARY, IGNORED, Vocabulary
from inversescope.sites import Site
from inversescope.spread import Spread


class Generator(nn.Module):
    """Knows vectors and tokens; the subject is not needed to train it or to draw from it.

    Args:
        vocabulary: the tokens of the prior.
        positions: the longest row of the vocabulary that it can write or read.
        dimensions: d of each site it serves.
        known: inputs whose activations are kept with each site, for its kernel estimate.
        width: of the hidden state and of the condition.
        layers: transformer blocks.
        heads: attention heads of each block.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        positions: int,
        dimensions: Mapping[Site, int],
        *,
        known: int,
        width: int,
        layers: int,
        heads: int,
    ):
        super().__init__()
        self.vocabulary = vocabulary
        self.positions = positions
        self.width = width
        self.known = known
        self.heads = heads
        self.sites = tuple(dimensions)
        self._encoder_of = {site: index for index, site in enumerate(dimensions)}
        self.encoders = nn.ModuleList(SiteEncoder(dimension, known, width) for dimension in dimensions.values())
        self.estimates = Estimates(width)
        self.null = nn.Parameter(torch.zeros(width))
        self.mix = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))
        self.backbone = Decoder(len(vocabulary), positions, width, layers, heads)
        self.conditioning = AdaptiveLayerNorm(width, self.backbone.sublayers)

    def encoder(self, site: Site) -> SiteEncoder:
        """The encoder of one of `sites`."""
        encoder = self.encoders[self._encoder_of[site]]
        assert isinstance(encoder, SiteEncoder)
        return encoder

    def fit(
        self,
        activations: Mapping[Site, Float[Tensor, "n _"]],
        spreads: Mapping[Site, Spread],
        rows: Int[Tensor, "n positions"],
        known: Int[Tensor, " known"],
    ) -> None:
        """Fit the encoder of each site to its activations of these inputs (rows of the vocabulary).

        `known` are the inputs that are kept for the kernel estimate.
        """
        says = content(rows, self.width)
        for site in self.sites:
            self.encoder(site).fit(activations[site], spreads[site], says, known)

    def condition(
        self,
        site: Site,
        activation: Float[Tensor, "batch d"],
        bandwidth: Float[Tensor, " batch"],
        itself: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch width"]:
        """The condition for activations of one site; the bandwidth is a positive radius in δ.

        In training `itself` is the place of each activation's own input among the known ones (−1: it is not), which may
        not answer for itself.
        """
        return self._mixed(self.estimates(*self.encoder(site)(activation, bandwidth, itself), bandwidth))

    def no_condition(self, batch: int) -> Float[Tensor, "batch width"]:
        """The condition that stands for the prior."""
        return self._mixed(self.null.expand(batch, -1))

    def nats(
        self, rows: Int[Tensor, "batch positions"], condition: Float[Tensor, "batch width"]
    ) -> Float[Tensor, " batch"]:
        """−ln q of each input, given as rows of the vocabulary (`Vocabulary.encode`)."""
        tokens, following = rows[:, :-1].clamp_min(BOUNDARY), rows[:, 1:]
        logits = self.backbone(tokens, self.conditioning, self.conditioning.prepare(condition))
        losses = F.cross_entropy(logits.flatten(0, 1), following.flatten(), ignore_index=IGNORED, reduction="none")
        return losses.view(following.shape).sum(1)

    @torch.inference_mode()
    def draw(
        self, condition: Float[Tensor, "batch width"], rng: torch.Generator
    ) -> tuple[list[tuple[int, ...] | None], Float[Tensor, " batch"]]:
        """One sample for each row of the condition, by ancestral sampling, and its ln q in nats.

        A sample is the subject's tokens; None if it had not ended after `positions` tokens.
        """
        prepared = self.conditioning.prepare(condition)
        cache = Cache(len(self.backbone.blocks))
        token = torch.full((len(condition), 1), BOUNDARY, device=condition.device)
        alive = torch.ones_like(token, dtype=torch.bool)
        log_q = torch.zeros(len(condition), device=condition.device)
        written = []
        for position in range(self.positions - 1):
            log_probability = self.backbone(token, self.conditioning, prepared, cache, position)[:, 0].log_softmax(-1)
            token = torch.multinomial(log_probability.exp(), 1, generator=rng)
            log_q += (log_probability.gather(1, token) * alive)[:, 0]
            written.append(token)
            alive = alive & (token != BOUNDARY)
            if not alive.any():
                break
        return self.vocabulary.decode(torch.cat(written, 1)), log_q

    def _mixed(self, encoded: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        return encoded + self.mix(encoded)
