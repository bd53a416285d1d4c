"""q(x | ẑ, s, h): one conditional model for all sites and all bandwidths, and the prior q(x | ∅) beside them.

Dimensions: `n` inputs, `batch` rows, `d` coordinates of a site, `width` of an estimate
of the content, `positions` tokens.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from inversescope.generator.backbone import Cache, Decoder
from inversescope.generator.conditioning import AdaptiveLayerNorm
from inversescope.generator.content import Content
from inversescope.generator.encoder import Estimates, SiteEncoder
from inversescope.generator.expectation import Expectation, Expected
from inversescope.generator.vocabulary import BOUNDARY, IGNORED, Vocabulary
from inversescope.sites import Site
from inversescope.spread import Spread

TOGETHER = 64  # rows computed together: enough to fill the arithmetic units, few enough to stay in the cache


class Generator(nn.Module):
    """Knows vectors and tokens; the subject is not needed to train it or to draw from it.

    Args:
        vocabulary: the tokens of the prior.
        positions: the longest row of the vocabulary that it can write or read.
        dimensions: d of each site it serves.
        known: inputs whose activations are kept with each site, for its kernel estimate.
        facts: how many facts of each kind the content speaks of (`Content`).
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
        facts: tuple[int, int, int],
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
        self.expectation = Expectation(facts, positions, len(vocabulary), width)
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
        says: Content,
        known: Int[Tensor, " known"],
    ) -> None:
        """Fit the encoder of each site to its activations of inputs, and to what these inputs say.

        `known` are the inputs that are kept for the kernel estimate.
        """
        self.expectation.fit(says)
        for site in self.sites:
            self.encoder(site).fit(activations[site], spreads[site], says.components, known)

    def condition(
        self,
        site: Site,
        activation: Float[Tensor, "batch d"],
        bandwidth: Float[Tensor, " batch"],
        weights: Float[Tensor, "batch known"] | None = None,
    ) -> Float[Tensor, "batch condition"]:
        """The condition for activations of one site; the bandwidth is a positive radius in δ.

        It holds the estimate of the content, and beside it what the conditioning is given. Training gives the weights
        of the known inputs itself (`SiteEncoder.neighbours`): an input may not answer there for its own activation.
        """
        estimate, encoded = self.estimates(*self.encoder(site)(activation, bandwidth, weights), bandwidth)
        return torch.cat((estimate, encoded + self.mix(encoded)), dim=1)

    def no_condition(self, batch: int) -> Float[Tensor, "batch condition"]:
        """The condition that stands for the prior."""
        encoded = self.null.expand(batch, -1)
        return torch.cat((torch.zeros_like(encoded), encoded + self.mix(encoded)), dim=1)

    def nats(
        self, rows: Int[Tensor, "batch positions"], condition: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, " batch"]:
        """−ln q of each input, given as rows of the vocabulary (`Vocabulary.encode`)."""
        lengths = (rows != IGNORED).sum(1)
        order = lengths.argsort(stable=True)
        nats = [self._nats(rows[part, : int(lengths[part[-1]])], condition[part]) for part in order.split(TOGETHER)]
        return torch.cat(nats)[order.argsort()]

    def _nats(
        self, rows: Int[Tensor, "batch positions"], condition: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, " batch"]:
        tokens, following = rows[:, :-1].clamp_min(BOUNDARY), rows[:, 1:]
        logits = self.backbone(tokens, *self.prepare(condition))
        losses = F.cross_entropy(logits.flatten(0, 1), following.flatten(), ignore_index=IGNORED, reduction="none")
        return losses.view(following.shape).sum(1)

    @torch.inference_mode()
    def draw(
        self, condition: Float[Tensor, "batch condition"], rng: torch.Generator
    ) -> tuple[list[tuple[int, ...] | None], Float[Tensor, " batch"]]:
        """One sample for each row of the condition, by ancestral sampling, and its ln q in nats.

        A sample is the subject's tokens; None if it had not ended after `positions` tokens.
        """
        prepared = self.prepare(condition)
        cache = Cache(len(self.backbone.blocks))
        token = torch.full((len(condition), 1), BOUNDARY, device=condition.device)
        alive = torch.ones_like(token, dtype=torch.bool)
        log_q = torch.zeros(len(condition), device=condition.device)
        written = []
        for position in range(self.positions - 1):
            log_probability = self.backbone(token, *prepared, cache, position)[:, 0].log_softmax(-1)
            token = torch.multinomial(log_probability.exp(), 1, generator=rng)
            log_q += (log_probability.gather(1, token) * alive)[:, 0]
            written.append(token)
            alive = alive & (token != BOUNDARY)
            if not alive.any():
                break
        return self.vocabulary.decode(torch.cat(written, 1)), log_q

    def prepare(self, condition: Float[Tensor, "batch condition"]) -> tuple[Expected, AdaptiveLayerNorm, list[Tensor]]:
        """What the backbone is given beside the tokens."""
        estimate, encoded = condition.chunk(2, dim=1)
        return self.expectation(estimate), self.conditioning, self.conditioning.prepare(encoded)
