"""Metropolis-Hastings chains at several bandwidths: ladders whose neighbouring bandwidths exchange their inputs.

A ladder begins at inputs drawn by weight, never at the source alone: a chain from the source stays near it for as long
as one waits, where almost none of the posterior may be. Dimensions: `ladders`, `levels` of bandwidths from narrow to
wide, `steps`, `t` tokens of an input. Chain `ladder · levels + level` belongs to both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from inversescope.natural_text.budget import Budget
from inversescope.natural_text.moves import (
    BeginningAndEnd,
    Chains,
    Move,
    NewEnd,
    PoolBeginning,
    StoredDraw,
    TokenFromBoth,
    TokenFromSubject,
    metropolis,
    of_rows,
)
from inversescope.natural_text.posterior import Posterior, Scored
from inversescope.natural_text.proposals import BackwardProposal, Beginnings, Dealer

FREE_STEPS = 3  # steps between two moves that read nothing
SWAP = "beginnings swapped"
EXCHANGE = "bandwidths exchanged"


@dataclass(frozen=True)
class Mix:
    """Moves with the share of steps of each; one more that reads nothing; the share of swapped beginnings."""

    moves: Sequence[tuple[Move, float]]
    free: Move | None = None
    swap: float = 0.0

    def draw(self, random: torch.Generator) -> Move | None:
        """The next move; None stands for swapped beginnings."""
        shares = torch.tensor([*(share for _, share in self.moves), self.swap])
        place = int(torch.multinomial(shares, 1, generator=random))
        return self.moves[place][0] if place < len(self.moves) else None


def usual_mix(posterior: Posterior, pool: Beginnings, end: BackwardProposal, random: torch.Generator) -> Mix:
    """The moves that a trial found good, in its shares."""
    dealer = Dealer(len(pool.tokens), random)
    among = max(1, min(64, len(pool.tokens) // 2))
    return Mix(
        (
            (PoolBeginning(posterior, pool, dealer, among), 0.4),
            (TokenFromBoth(posterior, end), 0.25),
            (TokenFromSubject(posterior), 0.1),
            (NewEnd(posterior, end), 0.075),
            (BeginningAndEnd(posterior, pool, end, dealer, among), 0.075),
        ),
        free=StoredDraw(pool, dealer, among),
        swap=0.1,
    )


@dataclass
class Trace:
    """States of the ladders after each step, and counts of moves by level.

    Attributes:
        bandwidths: of the levels, from narrow to wide.
        tokens, log_p, distance: of each state, a list over steps.
        proposed, accepted: number of chains by kind of move.
        round_trips: of each ladder: states that went from the widest bandwidth to the narrowest.
    """

    bandwidths: Float[Tensor, " levels"]
    tokens: list[Int[Tensor, "ladders levels t"]] = field(default_factory=list)
    log_p: list[Float[Tensor, "ladders levels"]] = field(default_factory=list)
    distance: list[Float[Tensor, "ladders levels"]] = field(default_factory=list)
    proposed: dict[str, Float[Tensor, " levels"]] = field(default_factory=dict)
    accepted: dict[str, Float[Tensor, " levels"]] = field(default_factory=dict)
    round_trips: Int[Tensor, " ladders"] = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))

    def count(self, name: str, moved: Bool[Tensor, " n"]) -> None:
        """One proposal for every chain, and where it was accepted."""
        by_level = moved.reshape(-1, len(self.bandwidths)).double()
        self.proposed[name] = self.proposed.get(name, 0) + torch.ones_like(by_level).sum(0)
        self.accepted[name] = self.accepted.get(name, 0) + by_level.sum(0)

    def stack(self, values: Sequence[Tensor]) -> Tensor:
        """One tensor of the second half of the steps; the first is left out."""
        return torch.stack(list(values[len(values) // 2 :]))


class Ladders:
    """Ladders at work: `step` as often as there is a budget; `trace` has what they went through."""

    def __init__(
        self,
        posterior: Posterior,
        start: Int[Tensor, "ladders levels t"],
        bandwidths: Sequence[float],
        mix: Mix,
        random: torch.Generator,
    ) -> None:
        self.posterior, self.mix, self.random = posterior, mix, random
        self.ladders, self.levels, length = start.shape
        tokens = start.reshape(-1, length)
        rising = torch.tensor(sorted(bandwidths), dtype=torch.float64)
        self.chains = Chains(tokens, posterior.score(tokens), rising.repeat(self.ladders))
        self.trace = Trace(rising, round_trips=torch.zeros(self.ladders, dtype=torch.long))
        self._from_wide = torch.zeros(self.ladders, self.levels, dtype=torch.bool)
        self._steps = 0

    def run(self, budget: Budget, steps: int | None = None) -> Trace:
        """Steps until the budget or their number is used up; Ctrl-C keeps those that were made."""
        budget.spend(self.chains.tokens.numel())
        with budget:
            while budget.left and (steps is None or self._steps < steps):
                budget.spend(self.step(), "chains")
        return self.trace

    def step(self) -> int:
        """One move of every chain, an exchange of neighbouring bandwidths, a record; tokens that were read."""
        self._steps += 1
        move = self.mix.draw(self.random)
        read = self._swap_beginnings() if move is None else self._move(move)
        if self.mix.free is not None and self._steps % FREE_STEPS == 0:
            self._move(self.mix.free)
        self._exchange()
        shape = (self.ladders, self.levels)
        self.trace.tokens.append(self.chains.tokens.reshape(*shape, -1).clone())
        self.trace.log_p.append(self.chains.scored.log_p.reshape(shape).clone())
        self.trace.distance.append(self.chains.scored.distance.reshape(shape).clone())
        return read

    def _move(self, move: Move) -> int:
        moved, read = metropolis(move, self.chains, self.posterior, self.random)
        self.trace.count(move.name, moved)
        return read

    def _swap_beginnings(self) -> int:
        """Pairs of bandwidths of a ladder swap their first tokens, and accept it together or not at all."""
        chains, length = self.chains, self.chains.tokens.shape[1]
        kept = int(torch.randint(1, length, (), generator=self.random))
        order = torch.rand(self.ladders, self.levels, generator=self.random).argsort(1)
        chain = torch.arange(self.ladders)[:, None] * self.levels + order
        half = self.levels // 2
        one, other = chain[:, :half].flatten(), chain[:, half : 2 * half].flatten()
        both = torch.cat([one, other])
        beginnings = torch.cat([chains.tokens[other, :kept], chains.tokens[one, :kept]])
        tokens = torch.cat([beginnings, chains.tokens[both, kept:]], 1)
        scored = self.posterior.score(tokens, kept)
        here = chains.rows(both)
        gain = (here.log_density(scored) - here.log_density(here.scored)).reshape(2, -1).sum(0)
        accepted = torch.rand(len(gain), generator=self.random).log() < gain.nan_to_num(nan=-torch.inf)
        taken = accepted.repeat(2) & (tokens != here.tokens).any(1)
        chains.move(both[taken], tokens[taken], of_rows(scored, taken))
        moved = torch.zeros(len(chains.tokens), dtype=torch.bool)
        moved[both[taken]] = True
        self.trace.count(SWAP, moved)
        return len(both) * (length - kept)

    def _exchange(self) -> None:
        """Neighbouring bandwidths of a ladder exchange their inputs: ratio of k(δ/h), nothing is read."""
        first = int(torch.randint(2, (), generator=self.random))
        narrow = torch.arange(first, self.levels - 1, 2)
        if not len(narrow):
            return
        one = (torch.arange(self.ladders)[:, None] * self.levels + narrow).flatten()
        other, chains = one + 1, self.chains
        sharper = 1 / (2 * chains.bandwidth[one] ** 2) - 1 / (2 * chains.bandwidth[other] ** 2)
        gain = sharper * (chains.scored.distance[one] ** 2 - chains.scored.distance[other] ** 2)
        accepted = torch.rand(len(gain), generator=self.random).log() < gain
        there, back = torch.cat([one[accepted], other[accepted]]), torch.cat([other[accepted], one[accepted]])
        chains.move(there, chains.tokens[back], of_rows(chains.scored, back))
        moved = torch.zeros(len(chains.tokens), dtype=torch.bool)
        moved[there] = True
        self.trace.count(EXCHANGE, moved)
        self._count_trips(there, back)

    def _count_trips(self, there: Int[Tensor, " moved"], back: Int[Tensor, " moved"]) -> None:
        """A state that has been at the widest bandwidth and arrives at the narrowest has made a trip."""
        was = self._from_wide.flatten()
        now = was.clone()
        now[there] = was[back]
        now = now.reshape(self.ladders, self.levels)
        now[:, -1] = True
        self.trace.round_trips += (now[:, 0] & (self.levels > 1)).long()
        now[:, 0] = False
        self._from_wide = now


def starts_by_weight(
    tokens: Int[Tensor, "n t"],
    log_weight: Float[Tensor, " n"],
    scored: Scored,
    bandwidths: Sequence[float],
    ladders: int,
    random: torch.Generator,
) -> Int[Tensor, "ladders levels t"]:
    """Inputs where ladders begin: drawn by `log_weight` and k(δ/h) at each bandwidth."""
    levels = []
    for bandwidth in sorted(bandwidths):
        weights = (log_weight - scored.distance**2 / (2 * bandwidth**2)).softmax(0)
        levels.append(tokens[torch.multinomial(weights, ladders, replacement=True, generator=random)])
    return torch.stack(levels, 1)
