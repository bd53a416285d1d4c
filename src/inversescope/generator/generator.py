"""q(x | ẑ, s, h): one conditional model for all sites and all bandwidths, and the prior q(x | ∅) beside them.

Dimensions: `n` inputs, `batch` rows, `d` coordinates of a site, `width` of an estimate
of the content, `positions` tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from inversescope.generator.backbone import Cache
from inversescope.generator.conditioning import CONDITIONINGS, Conditioning, Prepared
from inversescope.generator.content import Content
from inversescope.generator.decoder import Decoder
from inversescope.generator.encoding import Encoder, EstimatesEncoder, IdentityEncoder, ResidualEncoder
from inversescope.generator.expectation import Expected
from inversescope.generator.neighbourhood import Neighbourhood
from inversescope.generator.pretrained import Borrowed, Pretrained
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
        known: inputs whose activations are kept with each site.
        facts: how many facts of each kind the content speaks of (`Content`).
        encoder: "estimates", "residual" or "identity": what an activation becomes.
        conditioning: a name in `CONDITIONINGS`: how that reaches the backbone.
        backbone: a pretrained model, or the width, layers and heads of a decoder from scratch.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        positions: int,
        dimensions: Mapping[Site, int],
        *,
        known: int,
        facts: tuple[int, int, int],
        encoder: str,
        conditioning: str,
        backbone: Borrowed | tuple[int, int, int],
    ):
        super().__init__()
        self.vocabulary = vocabulary
        self.positions = positions
        self.known = known
        self.facts = facts
        self.chosen = {"encoder": encoder, "conditioning": conditioning}
        self.sites = tuple(dimensions)
        self._number = {site: number for number, site in enumerate(dimensions)}
        self.neighbourhoods = nn.ModuleList(Neighbourhood(d, known) for d in dimensions.values())
        self.width = backbone[0] if isinstance(backbone, tuple) else backbone.shape[0]
        self.encoder = self._encoder(encoder)
        hints = self.encoder.estimated > 0
        if isinstance(backbone, tuple):
            self.backbone = Decoder(len(vocabulary), positions, *backbone, hints)
        else:
            self.backbone = Pretrained(backbone, positions, hints)
        self.conditioning = CONDITIONINGS[conditioning](self.backbone.shape)

    def _encoder(self, name: str) -> Encoder:
        dimensions = [neighbourhood.dimension for neighbourhood in self._all()]
        if name == "estimates":
            return EstimatesEncoder(
                dimensions,
                self.width,
                known=self.known,
                facts=self.facts,
                positions=self.positions,
                vocabulary=len(self.vocabulary),
            )
        return {"residual": ResidualEncoder, "identity": IdentityEncoder}[name](dimensions, self.width)

    def _all(self) -> list[Neighbourhood]:
        return [each for each in self.neighbourhoods if isinstance(each, Neighbourhood)]

    def neighbourhood(self, site: Site) -> Neighbourhood:
        """The units and the known inputs of one of `sites`."""
        return self._all()[self._number[site]]

    def inside(self) -> Iterator[nn.Parameter]:
        """The weights between hidden states: Muon trains the matrices among them."""
        yield from self.backbone.inside()
        yield from self.encoder.inside()

    def tune(self, *, backbone: bool, others: bool) -> None:
        """Which parts learn: the backbone, and all that brings a condition to it."""
        self.requires_grad_(others)
        self.backbone.tune(backbone)

    def fit(
        self,
        activations: Mapping[Site, Float[Tensor, "n _"]],
        spreads: Mapping[Site, Spread],
        says: Content,
        known: Int[Tensor, " known"],
    ) -> None:
        """Take over each site's activations of inputs, and what these inputs say. The inputs `known` are kept."""
        self.encoder.fit(says, self.backbone.embeddings)
        for number, (site, neighbourhood) in enumerate(zip(self.sites, self._all(), strict=True)):
            neighbourhood.fit(activations[site], spreads[site], known)
            self.encoder.fit_site(number, neighbourhood, activations[site], says.components, known)

    def condition(
        self,
        site: Site,
        activation: Float[Tensor, "batch d"],
        bandwidth: Float[Tensor, " batch"],
        weights: Float[Tensor, "batch known"] | None = None,
    ) -> Float[Tensor, "batch condition"]:
        """The condition for activations of one site; the bandwidth is a positive radius in δ.

        It holds the estimate of the content, if the encoder makes one, and what the conditioning is given. Training
        gives the weights of the known inputs itself: an input may not answer there for its own activation.
        """
        neighbourhood = self.neighbourhood(site)
        return torch.cat(self.encoder(self._number[site], neighbourhood, activation, bandwidth, weights), dim=1)

    def no_condition(self, batch: int) -> Float[Tensor, "batch condition"]:
        """The condition that stands for the prior."""
        return torch.cat(self.encoder.nothing(batch), dim=1)

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
        cache = Cache()
        token = torch.full((len(condition), 1), BOUNDARY, device=condition.device)
        alive = torch.ones_like(token, dtype=torch.bool)
        log_q = torch.zeros(len(condition), device=condition.device)
        written = []
        for _ in range(self.positions - 1):
            log_probability = self.backbone(token, *prepared, cache)[:, 0].log_softmax(-1)
            token = torch.multinomial(log_probability.exp(), 1, generator=rng)
            log_q += (log_probability.gather(1, token) * alive)[:, 0]
            written.append(token)
            alive = alive & (token != BOUNDARY)
            if not alive.any():
                break
        return self.vocabulary.decode(torch.cat(written, 1)), log_q

    def prepare(self, condition: Float[Tensor, "batch condition"]) -> tuple[Expected | None, Conditioning, Prepared]:
        """What the backbone is given beside the tokens."""
        estimate, encoded = condition.split((self.encoder.estimated, self.width), dim=1)
        return self.encoder.expected(estimate), self.conditioning, self.conditioning.prepare(encoded)
