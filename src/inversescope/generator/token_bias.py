"""What an estimate of the content leads to expect at each position, before anything is written there.

Dimensions: `batch` rows, `positions` of a row, `vocabulary` tokens, `width` of an estimate, `facts` that it speaks of.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from inversescope.generator.input_pca import Content, Facts
from inversescope.generator.vocabulary import BOUNDARY

# An estimate is not trusted to exclude a token by more than this factor of its prior probability, or a repetition by
# more than this factor, before training says how far it is.
DOUBT = 0.02
# Of dividing by what may be zero.
LEAST = 0.02
KINDS = 3  # of facts: tokens, repetitions, occurrences
# How much of what is expected of occurring once more enters the logits: it says again, more vaguely, what is expected
# of tokens at positions, of which all enters, as does all of repetitions. None of this is learned: gains grow where an
# estimate is sure, and then overstate what it says where it is not (docs/experiments.md).
AGAIN = 0.25


@dataclass(frozen=True)
class Expected:
    """What an estimate says of tokens at positions, of repetitions, and of how often a token occurs."""

    excess: Float[Tensor, "batch positions vocabulary"]  # the probability of a token minus the prior's
    token: Float[Tensor, "batch positions vocabulary"]  # ln of the probability of a token over the prior's
    repeat: Float[Tensor, "batch positions sources"]  # ln of the probability to repeat nothing, position 0, 1, …
    more: Float[Tensor, "batch counts vocabulary"]  # ln of the probability to occur once more over the prior's

    def of(self, which: Int[Tensor, " rows"]) -> Expected:
        """The same for rows, each of which belongs to one of the batch."""
        parts = self.excess, self.token, self.repeat, self.more
        return Expected(*(part.index_select(0, which) for part in parts))

    def next(
        self, written: Written, start: int
    ) -> tuple[
        Float[Tensor, "batch columns vocabulary"],
        Float[Tensor, "batch columns vocabulary"],
        Float[Tensor, "batch columns vocabulary"],
    ]:
        """What is said of each token as the next one, at the positions from `start` on, given what is written: of
        itself, of the repetition that it would be, and of occurring once more.
        """
        end = start + written.latest.shape[1]
        repeat = self.repeat[:, start:end].gather(2, written.latest)
        more = self.more.gather(1, written.count.clamp_max(self.more.shape[1] - 1))
        return self.token[:, start:end], repeat, more


@dataclass(frozen=True)
class Written:
    """What is written up to each column: how often each token (the boundary: never), and where last."""

    count: Int[Tensor, "batch columns vocabulary"]
    latest: Int[Tensor, "batch columns vocabulary"]  # 1 + the position; 0: nowhere

    @classmethod
    def of(cls, tokens: Int[Tensor, "batch columns"], vocabulary: int, start: int, before: Written | None) -> Written:
        """Of tokens at the positions from `start` on, after what was written before them."""
        stands = F.one_hot(tokens, vocabulary)
        stands[:, :, BOUNDARY] = 0
        position = torch.arange(start + 1, start + 1 + tokens.shape[1], device=tokens.device)
        count, latest = stands.cumsum(1), (stands * position[:, None]).cummax(1).values
        if before is not None:
            count, latest = count + before.count[:, -1:], latest.maximum(before.latest[:, -1:])
        return cls(count, latest)


@dataclass(frozen=True)
class Hinted:
    """What is expected, and what that adds to the embeddings of the tokens, whichever they are."""

    expected: Expected
    mean: Float[Tensor, "batch positions width"]  # of all positions but the last, which is not read

    def of(self, which: Int[Tensor, " rows"]) -> Hinted:
        """The same for rows, each of which belongs to one of the batch."""
        return Hinted(self.expected.of(which), self.mean.index_select(0, which))


class Hints(nn.Module):
    """Tells a backbone what is expected: in its embeddings the mean embedding of the tokens expected here and next, and
    how much the token written here was expected; in its logits which tokens are expected next, and which repetitions.
    So the backbone need not learn token by token what an estimate says, but how positions hang together.
    """

    def __init__(self, width: int):
        super().__init__()
        self.here = nn.Linear(width, width, bias=False)
        self.ahead = nn.Linear(width, width, bias=False)
        self.surprise = nn.Parameter(torch.zeros(width))

    def of(self, expected: Expected, embeddings: Float[Tensor, "vocabulary width"]) -> Hinted:
        """What depends on the condition alone."""
        mean = expected.excess @ embeddings
        return Hinted(expected, self.here(mean[:, :-1]) + self.ahead(mean[:, 1:]))

    def embed(
        self, hinted: Hinted, tokens: Int[Tensor, "batch columns"], start: int
    ) -> Float[Tensor, "batch columns width"]:
        """What to add to the embeddings of tokens at the positions from `start` on."""
        end = start + tokens.shape[1]
        surprise = hinted.expected.token[:, start:end].gather(2, tokens[:, :, None]) * self.surprise
        return surprise + hinted.mean[:, start:end]

    def next(self, hinted: Hinted, written: Written, start: int) -> Float[Tensor, "batch columns vocabulary"]:
        """What to add to the logits after them."""
        token, repeat, more = hinted.expected.next(written, start + 1)
        return token + repeat + AGAIN * more


class _Probability(nn.Module):
    """Reads facts of one kind back from an estimate of the content."""

    def __init__(self, facts: int, width: int):
        super().__init__()
        self.register_buffer("prior", torch.zeros(facts))
        self.register_buffer("loadings", torch.zeros(width, facts))
        for name in ("place", "value"):
            self.register_buffer(name, torch.zeros(facts, dtype=torch.long))

    prior: Float[Tensor, " facts"]
    loadings: Float[Tensor, "width facts"]
    place: Int[Tensor, " facts"]
    value: Int[Tensor, " facts"]

    @torch.no_grad()
    def fit(self, facts: Facts) -> None:
        for name in ("prior", "loadings", "place", "value"):
            getattr(self, name).copy_(getattr(facts, name))

    def forward(self, estimate: Float[Tensor, "batch width"]) -> Float[Tensor, "batch facts"]:
        return (self.prior + estimate @ self.loadings).clamp(0, 1)

    def table(self, values: Float[Tensor, "batch facts"], rows: int, columns: int) -> Tensor:
        """Each fact's value in [batch, rows, columns], and 0 where there is no fact."""
        table = values.new_zeros(len(values), rows, columns)
        table[:, self.place, self.value] = values
        return table


class Expectation(nn.Module):
    """Reads the facts back from an estimate of the content."""

    def __init__(self, facts: tuple[int, int, int], positions: int, vocabulary: int, width: int):
        super().__init__()
        self.positions = positions
        self.vocabulary = vocabulary
        self.tokens, self.repeats, self.counts = (_Probability(count, width) for count in facts)

    @property
    def sizes(self) -> list[int]:
        """How many facts there are of each kind."""
        return [len(kind.prior) for kind in (self.tokens, self.repeats, self.counts)]

    def fit(self, says: Content) -> None:
        self.tokens.fit(says.tokens)
        self.repeats.fit(says.repeats)
        self.counts.fit(says.counts)

    def forward(self, estimate: Float[Tensor, "batch width"], doubt: Float[Tensor, "batch kinds"]) -> Expected:
        """`doubt` is the factor by which facts of each kind are excluded at most."""
        token, prior = self.tokens(estimate), self.tokens.prior
        of_token, of_repeat, of_more = doubt[:, :, None].unbind(1)
        size = self.positions, self.vocabulary
        repeat = self.repeats.table(self.repeats(estimate), self.positions, self.positions + 1)
        return Expected(
            excess=self.tokens.table(token - prior, *size),
            token=self.tokens.table(_log_ratio(token, prior, of_token), *size),
            repeat=(repeat + of_repeat[:, None]).log(),
            more=self._more(estimate, of_more),
        )

    def _more(
        self, estimate: Float[Tensor, "batch width"], doubt: Float[Tensor, "batch 1"]
    ) -> Float[Tensor, "batch counts vocabulary"]:
        """For tokens that have not occurred: to occur; for those that have: to occur again."""
        prior = self.counts.table(self.counts.prior[None], 2, self.vocabulary)
        found = self.counts.table(self.counts(estimate), 2, self.vocabulary)
        once, again = found.unbind(1)
        prior_once, prior_again = prior.unbind(1)
        again = (again / once.clamp_min(LEAST)).clamp_max(1)
        prior_again = prior_again / prior_once.clamp_min(LEAST)
        return torch.stack((_log_odds(once, prior_once, doubt), _log_odds(again, prior_again, doubt)), dim=1)


def _log_ratio(probability: Tensor, prior: Tensor, doubt: Tensor) -> Tensor:
    """ln of the probability over the prior's, at least ln of the doubt; 0 where the prior excludes it."""
    ratio = (probability / prior.where(prior > 0, 1) + doubt) / (1 + doubt)
    return ratio.log().where(prior > 0, 0)


def _log_odds(probability: Tensor, prior: Tensor, doubt: Tensor) -> Tensor:
    """ln of the odds over the prior's odds, between about ± ln of the doubt; 0 where the prior excludes it or is
    certain.
    """
    ratio = _log_ratio(probability, prior, doubt) - _log_ratio(1 - probability, 1 - prior, doubt)
    return ratio.where((prior > 0) & (prior < 1), 0)
