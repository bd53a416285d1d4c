"""Metropolis-Hastings moves on inputs of one length: each proposes inputs and gives the exact ratio of its proposals.

The posterior P(x) k(δ/h) has phases: any text, the last token of the source, its last two, near the source. Moves of
one token stay within a phase; beginnings from a pool, new ends and exchanges of bandwidths go from one to another.
Not here, since they were hardly ever accepted in a trial: blocks of two to five tokens in the middle, whole beginnings
written by a generator or by the subject, tokens taken out and put in.

Dimensions: `n` chains, each an input of `t` tokens with a bandwidth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from inversescope.natural_text.posterior import Posterior, Scored
from inversescope.natural_text.proposals import (
    BackwardProposal,
    Beginnings,
    Dealer,
    draw_end,
    log_end,
    picked,
    sample,
)

LONGEST_END = 4  # tokens of an end that are drawn anew


@dataclass
class Chains:
    """Inputs where chains stand, as the subject reads them, and the bandwidth of each."""

    tokens: Int[Tensor, "n t"]
    scored: Scored
    bandwidth: Float[Tensor, " n"]

    def log_density(self, scored: Scored) -> Float[Tensor, " n"]:
        """ln P(x) − δ²/2h² of other inputs at these bandwidths."""
        return scored.log_p - scored.distance**2 / (2 * self.bandwidth**2)

    def rows(self, rows: Int[Tensor, " m"]) -> Chains:
        """Some of the chains."""
        return Chains(self.tokens[rows], of_rows(self.scored, rows), self.bandwidth[rows])

    def move(self, rows: Int[Tensor, " moved"], tokens: Int[Tensor, "moved t"], scored: Scored) -> None:
        """Chains `rows` stand at other inputs from now on."""
        self.tokens = self.tokens.index_copy(0, rows, tokens)
        self.scored = Scored(*(old.index_copy(0, rows, new) for old, new in zip(self.scored, scored, strict=True)))


def of_rows(scored: Scored, rows: Tensor) -> Scored:
    """ln P and δ of some of the inputs."""
    return Scored(scored.log_p[rows], scored.distance[rows])


class Proposed(NamedTuple):
    """Inputs to move to.

    Attributes:
        tokens: of each chain's proposal.
        log_ratio: ln of the probability of proposing the way back over that of proposing this.
        same_before: number of first tokens that a proposal shares with its chain, or with a draw of the pool.
        scored: the proposals as they were read before; None if they have to be read.
    """

    tokens: Int[Tensor, "n t"]
    log_ratio: Float[Tensor, " n"]
    same_before: int
    scored: Scored | None = None


@runtime_checkable
class Move(Protocol):
    """One kind of proposal.

    Attributes:
        name: in records and tables.
    """

    name: str

    def propose(self, chains: Chains, random: torch.Generator) -> Proposed:
        """An input for each chain."""
        ...


def metropolis(
    move: Move, chains: Chains, posterior: Posterior, random: torch.Generator
) -> tuple[Bool[Tensor, " n"], int]:
    """Propose, read, accept or stay; the chains that moved, and the tokens that were read."""
    proposed = move.propose(chains, random)
    rows = torch.nonzero((proposed.tokens != chains.tokens).any(1))[:, 0]
    moved = torch.zeros(len(chains.tokens), dtype=torch.bool)
    if not len(rows):
        return moved, 0
    scored, read = _read(proposed, rows, posterior)
    here = chains.rows(rows)
    log_ratio = here.log_density(scored) - here.log_density(here.scored) + proposed.log_ratio[rows]
    log_ratio = log_ratio.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    accepted = torch.rand(len(rows), generator=random).log() < log_ratio
    taken = rows[accepted]
    chains.move(taken, proposed.tokens[taken], of_rows(scored, accepted))
    moved[taken] = True
    return moved, read


def _read(proposed: Proposed, rows: Int[Tensor, " m"], posterior: Posterior) -> tuple[Scored, int]:
    """The proposals of some chains as the subject reads them, and the tokens that were read."""
    if proposed.scored is not None:
        return of_rows(proposed.scored, rows), 0
    tokens = proposed.tokens[rows]
    return posterior.score(tokens, proposed.same_before), len(rows) * (tokens.shape[1] - proposed.same_before)


@dataclass
class TokenFromSubject:
    """One token from the subject's distribution after those before it."""

    posterior: Posterior
    name: str = "token from the subject"

    def propose(self, chains: Chains, random: torch.Generator) -> Proposed:
        """The same place in every chain."""
        place = int(torch.randint(chains.tokens.shape[1], (), generator=random))
        return _replaced(chains, place, self.posterior.next_log_probs(chains.tokens[:, :place]), random)


@dataclass
class TokenFromBoth:
    """One token from the product of the subject's distribution after those before it, and of the end's proposal given
    those after it, over the token's frequency.
    """

    posterior: Posterior
    end: BackwardProposal
    name: str = "token from both sides"

    def propose(self, chains: Chains, random: torch.Generator) -> Proposed:
        """The same place in every chain."""
        place = int(torch.randint(chains.tokens.shape[1], (), generator=random))
        return _replaced(chains, place, _both(self.posterior, self.end, chains.tokens, place), random)


def _both(posterior: Posterior, end: BackwardProposal, tokens: Int[Tensor, "n t"], place: int) -> Float[Tensor, "n v"]:
    """ln of the product at one place, normalised; it does not depend on the token that stands there."""
    after = end.log_probs(tokens[:, place + 1 :]) - end.log_unigram
    return (posterior.next_log_probs(tokens[:, :place]) + after).log_softmax(-1)


def _replaced(chains: Chains, place: int, log_probs: Float[Tensor, "n v"], random: torch.Generator) -> Proposed:
    token = sample(log_probs, random)
    tokens = chains.tokens.clone()
    tokens[:, place] = token
    return Proposed(tokens, picked(log_probs, chains.tokens[:, place]) - picked(log_probs, token), place)


@dataclass
class NewEnd:
    """One to four last tokens from the end's proposal, from right to left; the leftmost from both sides."""

    posterior: Posterior
    end: BackwardProposal
    name: str = "end"

    def propose(self, chains: Chains, random: torch.Generator) -> Proposed:
        """The same number of tokens in every chain."""
        old, length = chains.tokens, chains.tokens.shape[1]
        count = int(torch.randint(1, min(LONGEST_END, length) + 1, (), generator=random))
        first = length - count
        new = draw_end(self.end, old[:, length:], count - 1, random)
        ahead = self.posterior.next_log_probs(old[:, :first])
        there = self._leftmost(ahead, new.tokens)
        token = sample(there, random)
        back = picked(self._leftmost(ahead, old[:, first + 1 :]), old[:, first])
        log_back = back + log_end(self.end, old, count - 1)
        tokens = torch.cat([old[:, :first], token[:, None], new.tokens], 1)
        return Proposed(tokens, log_back - picked(there, token) - new.log_g, first)

    def _leftmost(self, ahead: Float[Tensor, "n v"], after: Int[Tensor, "n k"]) -> Float[Tensor, "n v"]:
        return (ahead + self.end.log_probs(after) - self.end.log_unigram).log_softmax(-1)


@dataclass
class PoolBeginning:
    """The beginning of a draw of the pool, chosen by the probability of the token that follows it; the end is kept.

    Chosen among `among` draws and the chain's own beginning, so that the way back chooses among the same. The prior's
    density of the beginnings cancels.
    """

    posterior: Posterior
    pool: Beginnings
    dealer: Dealer
    among: int = 64
    name: str = "beginning from the pool"

    def propose(self, chains: Chains, random: torch.Generator) -> Proposed:
        """As many tokens in every chain."""
        tokens, kept = chains.tokens, int(torch.randint(1, chains.tokens.shape[1], (), generator=random))
        by_token = self.posterior.token_log_probs(tokens[:, : kept + 1])
        rows = self.dealer.deal(len(tokens), self.among)
        choices = torch.cat([self.pool.log_next(kept, tokens[:, kept], rows), by_token[:, kept:]], 1)
        choice = sample(choices, random)
        stays = choice == self.among
        row = picked(rows, choice.clamp_max(self.among - 1))
        beginning = torch.where(stays[:, None], tokens[:, :kept], self.pool.tokens[row, :kept])
        log_there = self.pool.token_log_p[row, :kept].sum(1) + picked(choices, choice)
        log_ratio = (by_token.sum(1) - log_there).masked_fill(stays, 0)
        return Proposed(torch.cat([beginning, tokens[:, kept:]], 1), log_ratio, kept)


@dataclass
class BeginningAndEnd:
    """A new end from its proposal, and before it the beginning of a draw of the pool that leads to it."""

    posterior: Posterior
    pool: Beginnings
    end: BackwardProposal
    dealer: Dealer
    among: int = 64
    name: str = "beginning and end"

    def propose(self, chains: Chains, random: torch.Generator) -> Proposed:
        """The same number of tokens in every chain. The way back chooses among the same draws, with the chain's own
        beginning in place of the chosen one.
        """
        tokens, length = chains.tokens, chains.tokens.shape[1]
        count = int(torch.randint(1, min(LONGEST_END, length - 1) + 1, (), generator=random))
        kept = length - count
        new = draw_end(self.end, tokens[:, length:], count, random)
        rows = self.dealer.deal(len(tokens), self.among)
        there = self.pool.log_next(kept, new.tokens[:, 0], rows)
        choice = sample(there, random)
        by_token = self.posterior.token_log_probs(tokens[:, : kept + 1])
        back = self.pool.log_next(kept, tokens[:, kept], rows).scatter(1, choice[:, None], by_token[:, kept:])
        row = picked(rows, choice)
        log_there = new.log_g + self.pool.token_log_p[row, :kept].sum(1) + picked(there, choice) - there.logsumexp(1)
        log_back = log_end(self.end, tokens, count) + by_token.sum(1) - back.logsumexp(1)
        return Proposed(torch.cat([self.pool.tokens[row, :kept], new.tokens], 1), log_back - log_there, kept)


@dataclass
class StoredDraw:
    """A whole draw of the pool, chosen among some and the chain's own input by k(δ/h); nothing is read."""

    pool: Beginnings
    dealer: Dealer
    among: int = 64
    name: str = "stored draw"

    def propose(self, chains: Chains, random: torch.Generator) -> Proposed:
        """The ratio is that of the densities the other way round: the choice is already right."""
        rows = self.dealer.deal(len(chains.tokens), self.among)
        distances = torch.cat([self.pool.distance[rows], chains.scored.distance[:, None]], 1)
        choice = sample(-(distances**2) / (2 * chains.bandwidth[:, None] ** 2), random)
        stays = choice == self.among
        row = picked(rows, choice.clamp_max(self.among - 1))
        scored = Scored(
            torch.where(stays, chains.scored.log_p, self.pool.token_log_p[row].sum(1)),
            torch.where(stays, chains.scored.distance, self.pool.distance[row]),
        )
        tokens = torch.where(stays[:, None], chains.tokens, self.pool.tokens[row])
        log_ratio = chains.log_density(chains.scored) - chains.log_density(scored)
        return Proposed(tokens, log_ratio, tokens.shape[1], scored)
