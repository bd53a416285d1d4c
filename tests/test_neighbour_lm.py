"""Witnesses: draws of the posterior that agree with what is written, and the distribution that they make."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from inversescope.generator.neighbour_lm import WITNESSES, Witnesses, summoned

# Three witnesses of one condition: 0 1 2 0, 0 1 1 0, 0 2 0 0.
INPUTS = torch.tensor([[[0, 1, 2, 0], [0, 1, 1, 0], [0, 2, 0, 0]]])
ROW = torch.tensor([0])


def test_each_known_input_is_summoned_in_proportion_to_its_weight():
    weights = torch.from_numpy(np.random.default_rng(0).dirichlet(np.full(30, 0.2), 4)).float()
    for row, places in zip(weights, summoned(weights), strict=True):
        counts = Counter(places.tolist())
        for place, weight in enumerate(row.tolist()):
            assert abs(counts[place] - WITNESSES * weight) <= 1


def test_one_near_input_is_the_only_witness():
    weights = torch.zeros(1, 5)
    weights[0, 3] = 1.0
    assert set(summoned(weights)[0].tolist()) == {3}


def test_those_agree_that_begin_with_what_is_written():
    agree = Witnesses(INPUTS, torch.zeros(1), ROW).agree(torch.tensor([[0, 1, 2]]))
    assert agree[0].T.tolist() == [[True, True, True], [True, True, False], [True, False, False]]


def test_token_by_token_the_same_agree_as_at_once():
    witnesses, written = Witnesses(INPUTS, torch.zeros(1), ROW), torch.tensor([[0, 1, 2]])
    before = None
    for position in range(3):
        agree = witnesses.agree(written[:, position : position + 1], position, before)
        before = agree[:, :, 0]
        assert before.equal(witnesses.agree(written)[:, :, position])


@pytest.mark.parametrize("reliance", [-3.0, 0.0, 2.0])
def test_their_counts_are_added_to_the_backbone_as_to_a_dirichlet_prior(reliance: float):
    witnesses, written = Witnesses(INPUTS, torch.tensor([reliance]), ROW), torch.tensor([[0, 1, 1]])
    q = torch.rand(1, 3, 3).softmax(2)
    found = witnesses.heard(q.log(), witnesses.agree(written)).exp()
    r = np.exp(reliance)
    counts = np.array([[0, 2, 1], [0, 1, 1], [1, 0, 0]])
    expected = (q[0].numpy() + r * counts) / (1 + r * counts.sum(1, keepdims=True))
    assert found[0].numpy() == pytest.approx(expected, abs=1e-6)


def test_where_none_agrees_the_backbone_writes_alone():
    witnesses = Witnesses(INPUTS, torch.tensor([5.0]), ROW)
    log_q = torch.rand(1, 2, 3).log_softmax(2)
    heard = witnesses.heard(log_q, witnesses.agree(torch.tensor([[0, 0]])))
    assert torch.allclose(heard[:, 1], log_q[:, 1])
    assert not torch.allclose(heard[:, 0], log_q[:, 0])


def test_without_reliance_nobody_is_heard_and_gradients_are_finite():
    log_q = torch.rand(1, 3, 3).log_softmax(2).requires_grad_()
    reliance = torch.tensor([-torch.inf]).requires_grad_()
    witnesses = Witnesses(INPUTS, reliance, ROW)
    heard = witnesses.heard(log_q, witnesses.agree(torch.tensor([[0, 1, 1]])))
    assert torch.allclose(heard, log_q)
    heard.sum().backward()
    assert log_q.grad is not None and bool(log_q.grad.isfinite().all())
