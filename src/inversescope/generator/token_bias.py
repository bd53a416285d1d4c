"""Estimated components read back as a bias on the next-token logits.

An estimate of the input's principal components gives a probability for each indicator; its log ratio to the prior's
probability is added to the logits. So the decoder need not learn each token anew, only how positions depend on each
other.

Dimensions: `batch` rows, `positions` of a row, `columns` tokens, `vocabulary` tokens, `width` components, `indicators`
of one kind.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from inversescope.generator.input_pca import IndicatorTable, InputPCA
from inversescope.generator.vocabulary import BOUNDARY

KINDS = 3  # of indicators: tokens, repeats, counts
FLOOR = 0.02  # before training: lowest ratio of estimated to prior probability, lowest probability of a repetition
MIN_DIVISOR = 0.02  # of a probability that may be zero
# Factor of the counts' log odds in the logits. Tokens and repeats enter in full; counts repeat their information, less
# precisely. The factor is fixed: learned ones grow where the estimate is sure, and overstate it where it is not
# (docs/lab/generator.md).
COUNTS_GAIN = 0.25


@dataclass(frozen=True)
class BiasTables:
    """Probabilities of the indicators, as tables over positions and tokens."""

    difference: Float[Tensor, "batch positions vocabulary"]  # probability of a token, minus the prior's
    token: Float[Tensor, "batch positions vocabulary"]  # ln of that probability over the prior's
    repeat: Float[Tensor, "batch positions sources"]  # ln of the probability to repeat nothing, position 0, 1, …
    count: Float[Tensor, "batch 2 vocabulary"]  # log odds to occur, or to occur again, minus the prior's

    def select(self, index: Int[Tensor, " rows"]) -> BiasTables:
        """Tables for a new batch, whose row i is row `index[i]` of this one."""
        tables = self.difference, self.token, self.repeat, self.count
        return BiasTables(*(table.index_select(0, index) for table in tables))

    def terms(
        self, occurrences: Occurrences, start: int
    ) -> tuple[
        Float[Tensor, "batch columns vocabulary"],
        Float[Tensor, "batch columns vocabulary"],
        Float[Tensor, "batch columns vocabulary"],
    ]:
        """Bias of each candidate next token at the positions from `start` on, by kind: as a token at that position, as
        the repetition it would be, and as one more occurrence.
        """
        end = start + occurrences.latest.shape[1]
        repeat = self.repeat[:, start:end].gather(2, occurrences.latest)
        count = self.count.gather(1, occurrences.count.clamp_max(self.count.shape[1] - 1))
        return self.token[:, start:end], repeat, count


@dataclass(frozen=True)
class Occurrences:
    """Number and latest position of each token in the prefix that ends at each column; 0 for the boundary."""

    count: Int[Tensor, "batch columns vocabulary"]
    latest: Int[Tensor, "batch columns vocabulary"]  # 1 + the position; 0: none

    @classmethod
    def of(
        cls, tokens: Int[Tensor, "batch columns"], vocabulary: int, start: int, before: Occurrences | None
    ) -> Occurrences:
        """Occurrences in tokens at the positions from `start` on; `before` are those up to there."""
        one_hot = F.one_hot(tokens, vocabulary)
        one_hot[:, :, BOUNDARY] = 0
        position = torch.arange(start + 1, start + 1 + tokens.shape[1], device=tokens.device)
        count, latest = one_hot.cumsum(1), (one_hot * position[:, None]).cummax(1).values
        if before is not None:
            count, latest = count + before.count[:, -1:], latest.maximum(before.latest[:, -1:])
        return cls(count, latest)


@dataclass(frozen=True)
class PreparedBias:
    """Bias tables, and their part of the token embeddings that depends on the condition alone."""

    tables: BiasTables
    embedding: Float[Tensor, "batch inner width"]  # of all positions but the last, which is never embedded

    def select(self, index: Int[Tensor, " rows"]) -> PreparedBias:
        """The same for a new batch, whose row i is row `index[i]` of this one."""
        return PreparedBias(self.tables.select(index), self.embedding.index_select(0, index))


class TokenBias(nn.Module):
    """Adds bias tables to the decoder: to its logits, and to its token embeddings.

    Added to an embedding: the mean embedding of the tokens estimated for this position and for the next, and the log
    ratio of the token that stands here, times a learned vector.
    """

    def __init__(self, width: int):
        super().__init__()
        self.this = nn.Linear(width, width, bias=False)
        self.following = nn.Linear(width, width, bias=False)
        self.log_ratio = nn.Parameter(torch.zeros(width))

    def prepare(self, tables: BiasTables, embeddings: Float[Tensor, "vocabulary width"]) -> PreparedBias:
        """The part that depends on the condition alone."""
        mean = tables.difference @ embeddings
        return PreparedBias(tables, self.this(mean[:, :-1]) + self.following(mean[:, 1:]))

    def embed(
        self, bias: PreparedBias, tokens: Int[Tensor, "batch columns"], start: int
    ) -> Float[Tensor, "batch columns width"]:
        """Summand for the embeddings of tokens at the positions from `start` on."""
        end = start + tokens.shape[1]
        log_ratio = bias.tables.token[:, start:end].gather(2, tokens[:, :, None]) * self.log_ratio
        return log_ratio + bias.embedding[:, start:end]

    def logits(
        self, bias: PreparedBias, occurrences: Occurrences, start: int
    ) -> Float[Tensor, "batch columns vocabulary"]:
        """Summand for the logits of the tokens that follow the positions from `start` on."""
        token, repeat, count = bias.tables.terms(occurrences, start + 1)
        return token + repeat + COUNTS_GAIN * count


class _Probability(nn.Module):
    """Probabilities of the indicators of one kind, linear in the components."""

    def __init__(self, indicators: int, width: int):
        super().__init__()
        self.register_buffer("prior", torch.zeros(indicators))
        self.register_buffer("loadings", torch.zeros(width, indicators))
        for name in ("row", "column"):
            self.register_buffer(name, torch.zeros(indicators, dtype=torch.long))

    prior: Float[Tensor, " indicators"]
    loadings: Float[Tensor, "width indicators"]
    row: Int[Tensor, " indicators"]
    column: Int[Tensor, " indicators"]

    @torch.no_grad()
    def fit(self, indicators: IndicatorTable) -> None:
        for name in ("prior", "loadings", "row", "column"):
            getattr(self, name).copy_(getattr(indicators, name))

    def forward(self, components: Float[Tensor, "batch width"]) -> Float[Tensor, "batch indicators"]:
        return (self.prior + components @ self.loadings).clamp(0, 1)

    def table(self, values: Float[Tensor, "batch indicators"], rows: int, columns: int) -> Tensor:
        """Table [batch, rows, columns] of one value per indicator; 0 in cells without one."""
        table = values.new_zeros(len(values), rows, columns)
        table[:, self.row, self.column] = values
        return table


class IndicatorReadout(nn.Module):
    """Bias tables from estimated components."""

    def __init__(self, indicators: tuple[int, int, int], positions: int, vocabulary: int, width: int):
        super().__init__()
        self.positions = positions
        self.vocabulary = vocabulary
        self.tokens, self.repeats, self.counts = (_Probability(number, width) for number in indicators)

    def fit(self, pca: InputPCA) -> None:
        """Copy loadings and prior probabilities of the indicators."""
        self.tokens.fit(pca.tokens)
        self.repeats.fit(pca.repeats)
        self.counts.fit(pca.counts)

    def forward(self, components: Float[Tensor, "batch width"], floor: Float[Tensor, "batch kinds"]) -> BiasTables:
        """Tables from components; `floor`, one for each kind, bounds how far an estimate can exclude a token."""
        token, prior = self.tokens(components), self.tokens.prior
        token_floor, repeat_floor, count_floor = floor[:, :, None].unbind(1)
        size = self.positions, self.vocabulary
        repeat = self.repeats.table(self.repeats(components), self.positions, self.positions + 1)
        return BiasTables(
            difference=self.tokens.table(token - prior, *size),
            token=self.tokens.table(_log_ratio(token, prior, token_floor), *size),
            repeat=(repeat + repeat_floor[:, None]).log(),
            count=self._count(components, count_floor),
        )

    def _count(
        self, components: Float[Tensor, "batch width"], floor: Float[Tensor, "batch 1"]
    ) -> Float[Tensor, "batch 2 vocabulary"]:
        """Log odds, minus the prior's: to occur, for absent tokens; to occur again, for those that have occurred."""
        prior = self.counts.table(self.counts.prior[None], 2, self.vocabulary)
        estimate = self.counts.table(self.counts(components), 2, self.vocabulary)
        once, again = estimate.unbind(1)
        prior_once, prior_again = prior.unbind(1)
        again = (again / once.clamp_min(MIN_DIVISOR)).clamp_max(1)
        prior_again = prior_again / prior_once.clamp_min(MIN_DIVISOR)
        return torch.stack((_log_odds(once, prior_once, floor), _log_odds(again, prior_again, floor)), dim=1)


def _log_ratio(probability: Tensor, prior: Tensor, floor: Tensor) -> Tensor:
    """ln of the probability over the prior's, at least about ln of the floor; 0 where the prior excludes it."""
    ratio = (probability / prior.where(prior > 0, 1) + floor) / (1 + floor)
    return ratio.log().where(prior > 0, 0)


def _log_odds(probability: Tensor, prior: Tensor, floor: Tensor) -> Tensor:
    """ln of the odds over the prior's odds, within about ± ln of the floor; 0 where the prior is 0 or 1."""
    ratio = _log_ratio(probability, prior, floor) - _log_ratio(1 - probability, 1 - prior, floor)
    return ratio.where((prior > 0) & (prior < 1), 0)
