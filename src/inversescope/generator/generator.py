"""q(x | ẑ, s, h): one conditional model for all sites and all bandwidths, and the prior q(x | ∅) beside them.

Dimensions: `n` inputs, `batch` rows, `d` coordinates of a site, `width` of an estimate
of the content, `positions` tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from inversescope.generator.backbone import Cache
from inversescope.generator.conditioning import CONDITIONINGS, Prepared
from inversescope.generator.decoder import Decoder
from inversescope.generator.encoding import Encoder, EstimatesEncoder, IdentityEncoder, ResidualEncoder
from inversescope.generator.input_pca import Content
from inversescope.generator.neighbour_lm import Witnesses
from inversescope.generator.pretrained import Borrowed, Pretrained
from inversescope.generator.site_channel import Neighbourhood
from inversescope.generator.token_bias import Hinted
from inversescope.generator.vocabulary import BOUNDARY, IGNORED, Vocabulary
from inversescope.sites import Site
from inversescope.units import Spread

ROUNDING = 1e-6  # of a bandwidth
TOGETHER = 64  # rows computed together: enough to fill the arithmetic units, few enough to stay in the cache


class Generator(nn.Module):
    """Knows vectors and tokens; the subject is not needed to train it or to draw from it.

    Args:
        vocabulary: the tokens of the prior.
        positions: the longest row of the vocabulary that it can write or read.
        dimensions: d of each site it serves.
        bandwidths: the range that each site is trained for.
        known: inputs whose activations are kept with each site.
        facts: how many facts of each kind the content speaks of (`Content`).
        encoder: "regression", "residual" or "identity": what an activation becomes.
        conditioning: a name in `CONDITIONINGS`: how that reaches the backbone.
        backbone: a pretrained model, or the width, layers and heads of a decoder from scratch.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        positions: int,
        dimensions: Mapping[Site, int],
        bandwidths: Mapping[Site, tuple[float, float]],
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
        self.bandwidths = dict(bandwidths)
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
        if name == "regression":
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

    def serves(self, site: Site, bandwidth: float) -> bool:
        """Whether a site was trained for a bandwidth, but for rounding."""
        low, high = self.bandwidths[site]
        return low * (1 - ROUNDING) <= bandwidth <= high * (1 + ROUNDING)

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
        probability: Float[Tensor, " n"] | None = None,
    ) -> None:
        """Take over each site's activations of inputs, and what these inputs say. The inputs `known` are kept.

        `probability` is that of each input where they are the whole prior; without, they are draws from it.
        """
        self.encoder.fit(says, known, self.backbone.embeddings)
        for number, (site, neighbourhood) in enumerate(zip(self.sites, self._all(), strict=True)):
            neighbourhood.fit(activations[site], spreads[site], known, probability)
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
        self, rows: Int[Tensor, "batch positions"], condition: Float[Tensor, "conditions condition"]
    ) -> Float[Tensor, " batch"]:
        """−ln q of inputs, as rows of the vocabulary (`Vocabulary.encode`), as many for each condition in turn."""
        told = self.tell(condition)
        which = torch.arange(len(condition), device=rows.device).repeat_interleave(len(rows) // len(condition))
        lengths = (rows != IGNORED).sum(1)
        order = lengths.argsort(stable=True)
        nats = [
            self._nats(rows[part, : int(lengths[part[-1]])], told.of(which[part])) for part in order.split(TOGETHER)
        ]
        return torch.cat(nats)[order.argsort()]

    def _nats(self, rows: Int[Tensor, "batch positions"], told: Told) -> Float[Tensor, " batch"]:
        tokens, following = rows[:, :-1].clamp_min(BOUNDARY), rows[:, 1:]
        log_q = self.backbone(tokens, told.hinted, self.conditioning, told.prepared).log_softmax(-1)
        if told.witnesses is not None:
            log_q = told.witnesses.heard(log_q, told.witnesses.agree(tokens))
        losses = F.nll_loss(log_q.flatten(0, 1), following.flatten(), ignore_index=IGNORED, reduction="none")
        return losses.view(following.shape).sum(1)

    @torch.inference_mode()
    def draw(
        self, condition: Float[Tensor, "conditions condition"], rng: torch.Generator, samples: int = 1
    ) -> tuple[list[tuple[int, ...] | None], Float[Tensor, " batch"]]:
        """Samples of each condition in turn, by ancestral sampling, and their ln q in nats.

        A sample is the subject's tokens; None if it had not ended after `positions` tokens.
        """
        writer = Writer(self, condition, samples)
        batch = len(condition) * samples
        token = torch.full((batch, 1), BOUNDARY, device=condition.device)
        alive = torch.ones_like(token, dtype=torch.bool)
        log_q = torch.zeros(batch, device=condition.device)
        written = []
        for _ in range(self.positions - 1):
            log_probability = writer.next(token)
            token = torch.multinomial(log_probability.exp(), 1, generator=rng)
            log_q += (log_probability.gather(1, token) * alive)[:, 0]
            written.append(token)
            alive = alive & (token != BOUNDARY)
            if not alive.any():
                break
        return self.vocabulary.decode(torch.cat(written, 1)), log_q

    def tell(self, condition: Float[Tensor, "conditions condition"]) -> Told:
        """All that depends on conditions alone."""
        estimate, encoded = condition.split((self.encoder.estimated, self.width), dim=1)
        prepared = self.conditioning.prepare(encoded)
        hinted = self.backbone.hint(self.encoder.expected(estimate))
        return Told(hinted, prepared, self.encoder.witnesses(estimate))


@dataclass(frozen=True)
class Told:
    """What is said of conditions beside the tokens: to the backbone, through the conditioning, and by witnesses."""

    hinted: Hinted | None
    prepared: Prepared
    witnesses: Witnesses | None

    def of(self, which: Int[Tensor, " rows"]) -> Told:
        """The same for rows, each of which belongs to one of the conditions."""
        return Told(
            self.hinted and self.hinted.of(which),
            tuple(part.index_select(0, which) for part in self.prepared),
            self.witnesses and self.witnesses.of(which),
        )


class Writer:
    """Writes under conditions, several samples of each, token by token."""

    def __init__(self, generator: Generator, condition: Float[Tensor, "conditions condition"], samples: int = 1):
        self.generator = generator
        which = torch.arange(len(condition), device=condition.device).repeat_interleave(samples)
        self.told = generator.tell(condition).of(which)
        self.agree: Bool[Tensor, "batch witnesses"] | None = None
        self.cache = Cache()

    def next(self, token: Int[Tensor, "batch 1"]) -> Float[Tensor, "batch vocabulary"]:
        """ln of the probability of each next token, once this one is written too; the first is the boundary."""
        start, told = self.cache.start, self.told
        backbone, conditioning = self.generator.backbone, self.generator.conditioning
        log_q = backbone(token, told.hinted, conditioning, told.prepared, self.cache).log_softmax(-1)
        if told.witnesses is not None:
            agree = told.witnesses.agree(token, start, self.agree)
            log_q, self.agree = told.witnesses.heard(log_q, agree, start), agree[:, :, 0]
        return log_q[:, 0]
