"""Posterior over natural text: its parts, and the one that can be enumerated."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from inversescope.natural_text.posterior import EnumerablePosterior, Posterior, Scored, log_density


@pytest.fixture
def tree() -> EnumerablePosterior:
    """Three inputs of two tokens out of a vocabulary of four."""
    inputs = torch.tensor([[0, 1], [0, 2], [3, 1]])
    return EnumerablePosterior(inputs, torch.tensor([0.5, 0.3, 0.2]).log(), torch.tensor([0.0, 0.2, 0.4]), 4)


def test_it_is_a_posterior(tree: EnumerablePosterior):
    assert isinstance(tree, Posterior)
    assert tree.length == 2


def test_density_and_normaliser(tree: EnumerablePosterior):
    scored = tree.score(tree.inputs)
    expected = torch.tensor([0.5, 0.3 * math.exp(-0.5), 0.2 * math.exp(-2)]).double()
    assert_close(log_density(scored, 0.2).exp(), expected)
    assert_close(tree.exact(0.2), expected / expected.sum())
    assert tree.log_normaliser(0.2) == pytest.approx(math.log(expected.sum()))


def test_what_is_not_in_the_prior_has_no_density(tree: EnumerablePosterior):
    scored = tree.score(torch.tensor([[3, 2], [0, 1]]))
    assert log_density(scored, 0.5).tolist()[0] == -math.inf
    assert_close(scored, Scored(*torch.tensor([[-math.inf, math.log(0.5)], [math.inf, 0.0]]).double()))


def test_next_tokens_make_up_the_whole(tree: EnumerablePosterior):
    first = tree.next_log_probs(torch.empty(1, 0, dtype=torch.long)).exp()
    assert_close(first, torch.tensor([[0.8, 0, 0, 0.2]]).double())
    assert_close(tree.next_log_probs(torch.tensor([[0]])).exp(), torch.tensor([[0, 0.625, 0.375, 0]]).double())
    assert not tree.next_log_probs(torch.tensor([[1]])).exp().any()
