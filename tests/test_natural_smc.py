"""Sequential Monte Carlo over the end: Ẑ unbiased, weights that reproduce the posterior; not without g."""

from __future__ import annotations

import math

import pytest
import torch
from toy_text import LENGTH, TOKENS, Pool, TableProposal, posterior_of

from inversescope.natural_text.budget import Budget
from inversescope.natural_text.smc import sequential

RUNS, PARTICLES, POOL = 150, 100, 50
LADDER = (1.2, 0.7, 0.4)


class WithoutDensity(TableProposal):
    """A proposal that gives another density than the one that it draws from."""

    def log_probs(self, after):
        return super().log_probs(after) + 0.3 * torch.arange(TOKENS)


def ratios(proposal: TableProposal, ladder: tuple[float, ...]) -> torch.Tensor:
    """Ẑ / Z of independent runs, each with a pool of its own."""
    random, posterior = torch.Generator().manual_seed(9), posterior_of()
    exact = posterior.log_normaliser(ladder[-1])
    found = []
    for _ in range(RUNS):
        pool = Pool(posterior, POOL, random)
        run = sequential(posterior, pool, proposal, ladder, PARTICLES, random, Budget(tokens=10**9))
        found.append(math.exp(run.log_normaliser[-1] - exact))
    return torch.tensor(found)


@pytest.mark.parametrize("ladder", [LADDER, (0.4,), (0.4, 0.4)])
def test_the_normaliser_is_unbiased(ladder: tuple[float, ...]):
    found = ratios(TableProposal(), ladder)
    error = float(found.std()) / math.sqrt(RUNS)
    assert error < 0.1
    assert abs(float(found.mean()) - 1) < 3.5 * error


def test_with_a_wrong_density_it_is_not():
    found = ratios(WithoutDensity(), LADDER)
    assert abs(float(found.mean()) - 1) > 5 * float(found.std()) / math.sqrt(RUNS)


def test_its_inputs_are_the_posterior():
    random, posterior = torch.Generator().manual_seed(10), posterior_of()
    exact, mass = posterior.exact(LADDER[-1]), torch.zeros(TOKENS**LENGTH).double()
    for _ in range(RUNS):
        pool = Pool(posterior, POOL, random)
        run = sequential(posterior, pool, TableProposal(), LADDER, PARTICLES, random, Budget(tokens=10**9))
        weights = run.log_weight.softmax(0) * math.exp(run.log_normaliser[-1])
        mass.index_add_(0, posterior.place(run.tokens), weights)
        assert 1 <= run.effective <= len(exact)
        assert len(run.log_normaliser) == len(LADDER)
    for place in range(LENGTH):
        own = torch.zeros(TOKENS).double().index_add(0, posterior.inputs[:, place], mass / mass.sum())
        wanted = torch.zeros(TOKENS).double().index_add(0, posterior.inputs[:, place], exact)
        assert 0.5 * float((own - wanted).abs().sum()) < 0.04


def test_a_budget_that_ends_on_the_way_leaves_whole_rungs():
    random, posterior = torch.Generator().manual_seed(10), posterior_of()
    pool = Pool(posterior, POOL, random)
    run = sequential(posterior, pool, TableProposal(), LADDER, PARTICLES, random, Budget(tokens=PARTICLES + 1))
    assert len(run.log_normaliser) == 2
    assert run.tokens.shape == (PARTICLES, LENGTH)
