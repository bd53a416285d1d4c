"""Backward proposals without training: Bayes on pairs of tokens, and ends that are read once and then kept."""

from __future__ import annotations

import torch
from toy_text import TOKENS, posterior_of

from inversescope.natural_text.backward import Bigrams, Reread
from inversescope.natural_text.budget import Budget


def bigrams() -> tuple[Bigrams, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(2)
    unigram = torch.rand(TOKENS, generator=random).double()
    after = torch.rand(TOKENS, TOKENS, generator=random).double().log_softmax(1)
    proposal = Bigrams(unigram.log(), lambda tokens: after[:, tokens].T)
    return proposal, unigram / unigram.sum(), after.exp()


def test_the_token_before_a_token_is_by_bayes():
    proposal, unigram, after = bigrams()
    joint = unigram[:, None] * after
    found = proposal.log_probs(torch.tensor([[2, 1], [0, 3], [2, 0]])).exp()
    assert torch.allclose(found, torch.stack([joint[:, v] / joint[:, v].sum() for v in (2, 0, 2)]))
    assert torch.allclose(proposal.log_probs(torch.zeros(1, 0, dtype=torch.long)).exp(), unigram[None])


class Counted:
    """Fit of an end by a table; counts the ends that it reads."""

    def __init__(self):
        self.read: list[tuple[int, ...]] = []

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        self.read += [tuple(row) for row in tokens.tolist()]
        return 3.0 * (tokens[:, 0] == 1).double()


def test_an_end_is_read_once_and_its_density_stays():
    base, unigram, _ = bigrams()
    counted, budget = Counted(), Budget(tokens=1000)
    last = torch.tensor([-1.0, -2.0, -3.0, -4.0]).double()
    proposal = Reread(base, last, counted, budget, read=2, depth=2)
    ends = torch.tensor([[2], [0], [2]])
    first, again = proposal.log_probs(ends), proposal.log_probs(ends)
    assert torch.equal(first, again)
    assert len(counted.read) == len(set(counted.read)) == 4
    assert budget.spent == 8
    assert torch.allclose(first.exp().sum(1), torch.ones(3).double())
    own = proposal.log_probs(torch.zeros(1, 0, dtype=torch.long))[0].exp()
    assert torch.allclose(own, 0.9 * last.softmax(0) + 0.1 * unigram)


def test_readings_move_mass_among_the_tokens_that_were_read():
    base, _, _ = bigrams()
    proposal = Reread(base, torch.zeros(TOKENS).double(), Counted(), Budget(tokens=1000), read=TOKENS, depth=1)
    ends = torch.tensor([[2]])
    fitted = base.log_probs(ends)[0].exp() * torch.tensor([1.0, 1.0, 1.0, 1.0]).double()
    fitted[1] *= torch.tensor(3.0).exp()
    wanted = 0.9 * fitted / fitted.sum() + 0.1 * base.log_probs(ends)[0].exp()
    assert torch.allclose(proposal.log_probs(ends)[0].exp(), wanted)
    deeper = torch.tensor([[2, 1]])
    assert torch.equal(proposal.log_probs(deeper), base.log_probs(deeper))


def test_a_fit_keeps_every_token_possible():
    base, _, _ = bigrams()
    proposal = Reread(base, torch.tensor([0.0, -1e4, -1e4, -1e4]).double(), Counted(), Budget(tokens=1000), read=2)
    for end in (torch.zeros(1, 0, dtype=torch.long), torch.tensor([[1]]), torch.tensor([[3]])):
        assert float(proposal.log_probs(end).min()) > -10
    assert posterior_of().vocabulary == TOKENS
