"""Neighbour LM: the neighbours picked, their prefix matches, and the mixed next-token distribution."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from inversescope.generator.neighbour_lm import NEIGHBOURS, NeighbourLM, pick

# Three lm of one condition: 0 1 2 0, 0 1 1 0, 0 2 0 0.
INPUTS = torch.tensor([[[0, 1, 2, 0], [0, 1, 1, 0], [0, 2, 0, 0]]])
ROW = torch.tensor([0])


def test_each_stored_input_is_picked_in_proportion_to_its_weight():
    weights = torch.from_numpy(np.random.default_rng(0).dirichlet(np.full(30, 0.2), 4)).float()
    for row, picked in zip(weights, pick(weights), strict=True):
        counts = Counter(picked.tolist())
        for index, weight in enumerate(row.tolist()):
            assert abs(counts[index] - NEIGHBOURS * weight) <= 1


def test_one_near_input_is_the_only_neighbour():
    weights = torch.zeros(1, 5)
    weights[0, 3] = 1.0
    assert set(pick(weights)[0].tolist()) == {3}


def test_a_neighbour_matches_while_its_prefix_is_that_of_the_tokens():
    matches = NeighbourLM(INPUTS, torch.zeros(1), ROW).matches(torch.tensor([[0, 1, 2]]))
    assert matches[0].T.tolist() == [[True, True, True], [True, True, False], [True, False, False]]


def test_matches_token_by_token_are_those_of_all_tokens_at_once():
    lm, tokens = NeighbourLM(INPUTS, torch.zeros(1), ROW), torch.tensor([[0, 1, 2]])
    before = None
    for position in range(3):
        matches = lm.matches(tokens[:, position : position + 1], position, before)
        before = matches[:, :, 0]
        assert before.equal(lm.matches(tokens)[:, :, position])


@pytest.mark.parametrize("log_weight", [-3.0, 0.0, 2.0])
def test_counts_of_matches_are_added_to_the_decoder_as_to_a_dirichlet_prior(log_weight: float):
    lm, tokens = NeighbourLM(INPUTS, torch.tensor([log_weight]), ROW), torch.tensor([[0, 1, 1]])
    q = torch.rand(1, 3, 3).softmax(2)
    found = lm.mix(q.log(), lm.matches(tokens)).exp()
    r = np.exp(log_weight)
    counts = np.array([[0, 2, 1], [0, 1, 1], [1, 0, 0]])
    expected = (q[0].numpy() + r * counts) / (1 + r * counts.sum(1, keepdims=True))
    assert found[0].numpy() == pytest.approx(expected, abs=1e-6)


def test_without_a_match_the_distribution_is_the_decoders():
    lm = NeighbourLM(INPUTS, torch.tensor([5.0]), ROW)
    log_q = torch.rand(1, 2, 3).log_softmax(2)
    mixed = lm.mix(log_q, lm.matches(torch.tensor([[0, 0]])))
    assert torch.allclose(mixed[:, 1], log_q[:, 1])
    assert not torch.allclose(mixed[:, 0], log_q[:, 0])


def test_neighbours_of_weight_zero_change_nothing_and_gradients_are_finite():
    log_q = torch.rand(1, 3, 3).log_softmax(2).requires_grad_()
    log_weight = torch.tensor([-torch.inf]).requires_grad_()
    lm = NeighbourLM(INPUTS, log_weight, ROW)
    mixed = lm.mix(log_q, lm.matches(torch.tensor([[0, 1, 1]])))
    assert torch.allclose(mixed, log_q)
    mixed.sum().backward()
    assert log_q.grad is not None and bool(log_q.grad.isfinite().all())
