"""q(x | ẑ, s, h): one conditional model for all sites and bandwidths, and the prior q(x | ∅).

Dimensions: `stored` inputs, `batch` rows, `d` coordinates of a site, `condition` numbers of a condition,
`positions` tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from inversescope.errors import UserError
from inversescope.generator.conditioning import CONDITIONINGS, Prepared
from inversescope.generator.decoder import Cache, Decoder
from inversescope.generator.encoding import Encoder, RegressionEncoder, ResidualEncoder
from inversescope.generator.input_pca import InputPCA
from inversescope.generator.neighbour_lm import NeighbourLM
from inversescope.generator.site_channel import SiteChannel
from inversescope.generator.token_bias import PreparedBias
from inversescope.generator.vocabulary import BOUNDARY, IGNORED, Vocabulary
from inversescope.sites import Site
from inversescope.units import Units

ROUNDING = 1e-6  # tolerance at the ends of a bandwidth range
CHUNK = 64  # rows computed at once: enough to fill the arithmetic units, few enough to stay in the cache


class Generator(nn.Module):
    """Maps activations to distributions over inputs. It needs no subject, in training or in sampling.

    Args:
        vocabulary: the tokens of the prior.
        positions: the longest row of the vocabulary that it can write or read.
        dimensions: d of each site that it serves.
        bandwidths: the range, lowest and highest, that each site is trained for.
        stored: number of inputs whose activations are stored for each site.
        indicators: number of indicators of each kind (`InputPCA.sizes`).
        encoder: "regression" or "residual": from an activation to a condition.
        conditioning: a name in `CONDITIONINGS`: how the condition enters the decoder.
        decoder: its width, layers and heads.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        positions: int,
        dimensions: Mapping[Site, int],
        bandwidths: Mapping[Site, tuple[float, float]],
        *,
        stored: int,
        indicators: tuple[int, int, int],
        encoder: str,
        conditioning: str,
        decoder: tuple[int, int, int],
    ):
        super().__init__()
        self.vocabulary = vocabulary
        self.positions = positions
        self.stored = stored
        self.indicators = indicators
        self.choices = {"encoder": encoder, "conditioning": conditioning}
        self.sites = tuple(dimensions)
        self.bandwidths = dict(bandwidths)
        self._index = {site: index for index, site in enumerate(dimensions)}
        self.channels = nn.ModuleList(SiteChannel(d, stored) for d in dimensions.values())
        self.width = decoder[0]
        self.encoder = self._encoder(encoder)
        self.decoder = Decoder(len(vocabulary), positions, *decoder, token_bias=self.encoder.bypass_width > 0)
        self.conditioning = CONDITIONINGS[conditioning](self.decoder.shape)

    def _encoder(self, name: str) -> Encoder:
        dimensions = [channel.dimension for channel in self._channels()]
        if name == "regression":
            return RegressionEncoder(
                dimensions,
                self.width,
                stored=self.stored,
                indicators=self.indicators,
                positions=self.positions,
                vocabulary=len(self.vocabulary),
            )
        return ResidualEncoder(dimensions, self.width)

    def _channels(self) -> list[SiteChannel]:
        return [channel for channel in self.channels if isinstance(channel, SiteChannel)]

    def serves(self, site: Site, bandwidth: float) -> bool:
        """True if the site was trained for the bandwidth, up to rounding."""
        low, high = self.bandwidths[site]
        return low * (1 - ROUNDING) <= bandwidth <= high * (1 + ROUNDING)

    def channel(self, site: Site) -> SiteChannel:
        """Units, noise channel and stored inputs of one of `sites`."""
        return self._channels()[self._index[site]]

    def hidden_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters between hidden states; Muon trains the matrices among them."""
        yield from self.decoder.hidden_parameters()
        yield from self.encoder.hidden_parameters()

    def fit(
        self,
        activations: Mapping[Site, Float[Tensor, "stored _"]],
        units: Mapping[Site, Units],
        pca: InputPCA,
        log_prior: Mapping[Site, Float[Tensor, " stored"]],
    ) -> None:
        """Fit what has a closed form to the stored inputs, their components and their activations.

        `log_prior` is ln P of each up to a constant, −∞ at a site where its activation is not known.
        """
        self.encoder.fit(pca, self.decoder.embeddings)
        for index, (site, channel) in enumerate(zip(self.sites, self._channels(), strict=True)):
            channel.fit(activations[site], units[site], log_prior[site])
            self.encoder.fit_site(index, channel, activations[site], pca.components)

    def condition(
        self,
        site: Site,
        activation: Float[Tensor, "batch d"],
        bandwidth: Float[Tensor, " batch"],
        weights: Float[Tensor, "batch stored"] | None = None,
    ) -> Float[Tensor, "batch condition"]:
        """Condition for activations of one site; the bandwidth is a positive radius in δ.

        Bypass and encoding, concatenated. Training passes the weights of the stored inputs itself, to exclude from its
        own neighbours the input that the activation comes from.
        """
        channel = self.channel(site)
        return torch.cat(self.encoder(self._index[site], channel, activation, bandwidth, weights), dim=1)

    def no_condition(self, batch: int) -> Float[Tensor, "batch condition"]:
        """The null condition, which gives the prior."""
        return torch.cat(self.encoder.null_condition(batch), dim=1)

    def nats(
        self, rows: Int[Tensor, "batch positions"], condition: Float[Tensor, "conditions condition"]
    ) -> Float[Tensor, " batch"]:
        """−ln q of inputs, as rows of the vocabulary (`Vocabulary.encode`): equally many for each condition in turn."""
        prepared = self.prepare(condition)
        index = torch.arange(len(condition), device=rows.device).repeat_interleave(len(rows) // len(condition))
        lengths = (rows != IGNORED).sum(1)
        order = lengths.argsort(stable=True)
        nats = [
            self._nats(rows[chunk, : int(lengths[chunk[-1]])], prepared.select(index[chunk]))
            for chunk in order.split(CHUNK)
        ]
        return torch.cat(nats)[order.argsort()]

    def _nats(self, rows: Int[Tensor, "batch positions"], prepared: PreparedCondition) -> Float[Tensor, " batch"]:
        tokens, following = rows[:, :-1].clamp_min(BOUNDARY), rows[:, 1:]
        log_q = self.decoder(tokens, prepared.bias, self.conditioning, prepared.conditioning).log_softmax(-1)
        if prepared.neighbour_lm is not None:
            log_q = prepared.neighbour_lm.mix(log_q, prepared.neighbour_lm.matches(tokens))
        losses = F.nll_loss(log_q.flatten(0, 1), following.flatten(), ignore_index=IGNORED, reduction="none")
        return losses.view(following.shape).sum(1)

    @torch.inference_mode()
    def draw(
        self, condition: Float[Tensor, "conditions condition"], rng: torch.Generator, samples: int = 1
    ) -> tuple[list[tuple[int, ...] | None], Float[Tensor, " batch"]]:
        """Ancestral samples of each condition in turn, and their ln q in nats.

        A sample is the subject's tokens; None if it had not ended after `positions` tokens.

        Raises:
            UserError: the activation behind a condition is so large that the probabilities overflow.
        """
        decoder = IncrementalDecoder(self, condition, samples)
        batch = len(condition) * samples
        token = torch.full((batch, 1), BOUNDARY, device=condition.device)
        alive = torch.ones_like(token, dtype=torch.bool)
        log_q = torch.zeros(batch, device=condition.device)
        drawn = []
        for _ in range(self.positions - 1):
            log_probability = decoder.next(token)
            probability = log_probability.exp()
            if not probability.sum().isfinite():
                raise UserError(
                    "the generator's probabilities overflow for this activation",
                    given="an activation far larger than those of the run",
                    remedy="a smaller vector, or a smaller --scale",
                )
            token = torch.multinomial(probability, 1, generator=rng)
            log_q += (log_probability.gather(1, token) * alive)[:, 0]
            drawn.append(token)
            alive = alive & (token != BOUNDARY)
            if not alive.any():
                break
        return self.vocabulary.decode(torch.cat(drawn, 1)), log_q

    def prepare(self, condition: Float[Tensor, "conditions condition"]) -> PreparedCondition:
        """The part of the computation that depends on conditions alone."""
        bypass, encoding = condition.split((self.encoder.bypass_width, self.width), dim=1)
        conditioning = self.conditioning.prepare(encoding)
        bias = self.decoder.prepare_bias(self.encoder.bias_tables(bypass))
        return PreparedCondition(bias, conditioning, self.encoder.neighbour_lm(bypass))


@dataclass(frozen=True)
class PreparedCondition:
    """Conditions in the form in which the next-token distribution needs them: one row for each row of a batch."""

    bias: PreparedBias | None
    conditioning: Prepared
    neighbour_lm: NeighbourLM | None

    def select(self, index: Int[Tensor, " rows"]) -> PreparedCondition:
        """The same for a new batch, whose row i has the condition of row `index[i]` of this one."""
        return PreparedCondition(
            self.bias and self.bias.select(index),
            tuple(tensor.index_select(0, index) for tensor in self.conditioning),
            self.neighbour_lm and self.neighbour_lm.select(index),
        )


class IncrementalDecoder:
    """Next-token distributions under conditions, token by token, with a cache; `samples` rows for each condition."""

    def __init__(self, generator: Generator, condition: Float[Tensor, "conditions condition"], samples: int = 1):
        self.generator = generator
        index = torch.arange(len(condition), device=condition.device).repeat_interleave(samples)
        self.prepared = generator.prepare(condition).select(index)
        self.matches: Bool[Tensor, "batch neighbours"] | None = None
        self.cache = Cache()

    def next(self, token: Int[Tensor, "batch 1"]) -> Float[Tensor, "batch vocabulary"]:
        """Append a token, the boundary first; ln of the probability of each next token."""
        start, prepared = self.cache.start, self.prepared
        decoder, conditioning = self.generator.decoder, self.generator.conditioning
        log_q = decoder(token, prepared.bias, conditioning, prepared.conditioning, self.cache).log_softmax(-1)
        if prepared.neighbour_lm is not None:
            matches = prepared.neighbour_lm.matches(token, start, self.matches)
            log_q, self.matches = prepared.neighbour_lm.mix(log_q, matches, start), matches[:, :, 0]
        return log_q[:, 0]
