"""Verdict on weighted draws of natural text: planted faults are found, and what is right is let pass."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from jaxtyping import Float, Int
from natural_fixture import Listed, listed
from torch import Tensor

from inversescope.natural_text.ends import Ends
from inversescope.natural_text.estimate import Estimate, Weighted
from inversescope.natural_text.posterior import EndProposal
from inversescope.natural_text.question import Question
from inversescope.natural_text.strata import strata
from inversescope.verdicts.natural import Belief, belief

ROW, BANDWIDTH = 239, 0.6


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Listed:
    return listed(tmp_path_factory.getbasetemp() / "natural-listed")


class Without:
    """A proposal that never ends in some tokens: no support for a part of the posterior."""

    def __init__(self, ends: Ends, tokens: list[int]):
        self.ends, self.tokens = ends, torch.tensor(tokens)

    def draw(self, n: int, tokens: int, rng: torch.Generator) -> tuple[Int[Tensor, "n tokens"], Float[Tensor, " n"]]:
        drawn, log_g = self.ends.draw(20 * n, tokens, rng)
        rest = (~torch.isin(drawn[:, -1], self.tokens)).nonzero()[:n, 0]
        assert len(rest) == n
        share = float(1 - self.ends.log_probs(torch.empty(1, 0, dtype=torch.long))[0, self.tokens].exp().sum())
        return drawn[rest], log_g[rest] - math.log(share)

    def log_prob(self, ends: Int[Tensor, "n tokens"]) -> Float[Tensor, " n"]:
        raise NotImplementedError


def drawn(question: Question, ends: EndProposal, seed: int = 0) -> Weighted:
    return Weighted(strata(question, ends, {1: 600, 2: 600}, torch.Generator().manual_seed(seed)))


def test_a_sound_proposal_is_believed(world: Listed):
    question = world.question(ROW)
    estimate = drawn(question, world.text.ends(question)).at(BANDWIDTH)
    assert estimate.belief, estimate.belief.words
    assert estimate.belief.words == "to be believed"


def test_a_proposal_without_support_is_not_believed(world: Listed):
    """Whatever the seed: its few effective draws may agree by luck with the pool's own, and do not confirm these."""
    question, truth = world.question(ROW), world.exact(ROW)
    chance = truth.exact(BANDWIDTH)
    last = torch.zeros(truth.vocabulary, dtype=torch.float64).index_add_(0, truth.inputs[:, -1], chance)
    order = last.argsort(descending=True)
    missing = order[: int((last[order].cumsum(0) < 0.75).sum()) + 1].tolist()
    proposal, right = Without(world.text.ends(question), missing), truth.log_normaliser(BANDWIDTH)
    for seed in range(8):
        lame = drawn(question, proposal, seed).at(BANDWIDTH)
        assert lame.by_end[1] < right - 1 and not lame.belief


def test_the_source_shows_what_is_missing(world: Listed):
    question = world.question(ROW)
    lame = strata(
        question, Without(world.text.ends(question), [int(world.inputs[ROW, -1])]), {1: 400}, torch.Generator()
    )
    source = (float(world.log_p[ROW]), 0.0)
    proposed = [stratum for stratum in lame if stratum.end > 0]
    assert any("source" in reason for reason in Weighted(proposed, source).at(0.2).belief.against)
    assert not any("source" in reason for reason in Weighted(proposed, source, found=True).at(0.2).belief.against)


def test_a_wrong_bridge_makes_it_slow_not_wrong(world: Listed):
    question = world.question(ROW)
    data, order = question.data, torch.randperm(len(question.target), generator=torch.Generator().manual_seed(2))
    last = replace(data.last, end=data.last.end[:, order])
    bridges = {m: replace(bridge, end=bridge.end[:, order]) for m, bridge in data.bridges.items()}
    table = data.units.standardize(data.alone.float())
    wrong = replace(data, last=last, vocabulary=last.ends(table), bridges=bridges)
    lame = replace(question, data=wrong)
    ends = world.text.ends(lame)
    estimate = drawn(lame, ends).at(BANDWIDTH)
    right = world.exact(ROW).log_normaliser(BANDWIDTH)
    assert not estimate.belief or abs(estimate.log_z - right) < 0.5


def test_a_lost_density_of_the_proposal_is_not_believed(world: Listed):
    question = world.question(ROW)
    ends = world.text.ends(question)
    lost = [
        s if s.end == 0 else s._replace(log_weight=s.log_weight + ends.log_prob(s.tokens[:, -s.end :]))
        for s in strata(question, ends, {1: 600, 2: 600}, torch.Generator().manual_seed(0))
    ]
    assert not Weighted(lost).at(BANDWIDTH).belief


@pytest.mark.parametrize(
    ("spread", "size", "carried", "share", "reasons"),
    [
        (0.9, 30.0, 10.0, 0.1, 0),
        (0.9, 30.0, 10.0, None, 0),
        (1.1, 30.0, 10.0, 0.1, 1),
        (math.inf, 30.0, 10.0, None, 1),
        (math.nan, 30.0, 10.0, None, 1),
        (0.9, 29.0, 10.0, None, 1),
        (0.9, 300.0, 9.0, None, 1),
        (0.9, 30.0, 10.0, 0.2, 1),
        (2.0, 1.0, 1.0, 5.0, 4),
    ],
)
def test_limits(spread: float, size: float, carried: float, share: float | None, reasons: int):
    verdict = belief(spread, size, carried, share)
    assert len(verdict.against) == reasons and bool(verdict) == (reasons == 0)


class Jumping(Weighted):
    """Bits that jump from 2 to 9 at h = 0.3, or fall evenly."""

    def __init__(self, jumps: bool):
        self.jumps = jumps

    def at(self, bandwidth: float) -> Estimate:
        bits = (9.0 if bandwidth < 0.3 else 2.0) if self.jumps else 2 / bandwidth
        return Estimate(bandwidth, 0.0, {}, {}, 0.0, 100.0, bits, np.ones(1), Belief(()))


def test_an_answer_that_keeps_fewer_bits_than_are_wanted_is_not_believed():
    assert Jumping(jumps=False).at_bits(6).belief and Jumping(jumps=True).at_bits(2).belief
    jumped = Jumping(jumps=True).at_bits(6)
    assert jumped.bits == 2.0 and not jumped.belief
    assert "2.0 bits are kept" in jumped.belief.words
