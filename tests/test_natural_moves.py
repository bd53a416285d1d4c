"""Every move alone leaves the exact posterior as it is; without its proposal ratio it does not."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from scipy import stats
from toy_text import Pool, TableProposal, TableText, posterior_of

from inversescope.natural_text.moves import (
    BeginningAndEnd,
    Chains,
    Move,
    NewEnd,
    PoolBeginning,
    Proposed,
    StoredDraw,
    TokenFromBoth,
    TokenFromSubject,
    metropolis,
)
from inversescope.natural_text.proposals import Dealer

CHAINS, STEPS, BANDWIDTH = 10_000, 3, 0.5
AMONG = 5
KINDS = ["token from the subject", "token from both sides", "end", "beginning", "beginning and end", "stored draw"]


@dataclass
class WithoutRatio:
    """A move that takes its proposals for symmetric."""

    move: Move
    name: str = "without its ratio"

    def propose(self, chains: Chains, random: torch.Generator) -> Proposed:
        return self.move.propose(chains, random)._replace(log_ratio=torch.zeros(len(chains.tokens)).double())


def move_of(kind: str, posterior: TableText, random: torch.Generator) -> Move:
    proposal = TableProposal()
    if kind == "token from the subject":
        return TokenFromSubject(posterior)
    if kind == "token from both sides":
        return TokenFromBoth(posterior, proposal)
    if kind == "end":
        return NewEnd(posterior, proposal)
    pool = Pool(posterior, CHAINS * AMONG * STEPS, random)
    dealer = Dealer(len(pool.tokens), random)
    if kind == "beginning":
        return PoolBeginning(posterior, pool, dealer, AMONG)
    if kind == "beginning and end":
        return BeginningAndEnd(posterior, pool, proposal, dealer, AMONG)
    return StoredDraw(pool, dealer, AMONG)


def p_value(posterior: TableText, move: Move, random: torch.Generator) -> tuple[float, float]:
    """Of the inputs where chains stand that began in the posterior, against it; and the share that has moved."""
    exact = posterior.exact(BANDWIDTH)
    start = torch.multinomial(exact, CHAINS, replacement=True, generator=random)
    chains = Chains(posterior.inputs[start], posterior.listed(start), torch.full((CHAINS,), BANDWIDTH).double())
    for _ in range(STEPS):
        metropolis(move, chains, posterior, random)
    place = posterior.place(chains.tokens)
    assert torch.equal(chains.scored.distance, posterior.distance[place])
    assert torch.allclose(chains.scored.log_p, posterior.log_p[place])
    expected = exact * CHAINS
    common = expected >= 5
    counts = torch.bincount(place, minlength=len(exact)).double()
    rest = (~common).any()
    observed = torch.cat([counts[common], counts[~common].sum()[None]]) if rest else counts
    wanted = torch.cat([expected[common], expected[~common].sum()[None]]) if rest else expected
    return float(stats.chisquare(observed, wanted).pvalue), float((place != start).double().mean())


@pytest.mark.parametrize("kind", KINDS)
def test_a_move_leaves_the_posterior_as_it_is(kind: str):
    random = torch.Generator().manual_seed(3)
    posterior = posterior_of()
    p, moved = p_value(posterior, move_of(kind, posterior, random), random)
    assert moved > 0.05
    assert p > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_without_its_ratio_it_does_not(kind: str):
    random = torch.Generator().manual_seed(3)
    posterior = posterior_of()
    p, _ = p_value(posterior, WithoutRatio(move_of(kind, posterior, random)), random)
    assert p < 1e-6
