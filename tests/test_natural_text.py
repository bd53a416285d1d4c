"""Inversion on natural text, on a small subject whose inputs can all be listed."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_subject
import torch
from natural_fixture import LENGTH, SITE, TOP, Listed, listed
from scipy import stats
from torch.testing import assert_close

from inversescope.natural_text import readings
from inversescope.natural_text.beginnings import PoolBeginnings
from inversescope.natural_text.estimate import Weighted
from inversescope.natural_text.posterior import EndProposal, Posterior
from inversescope.natural_text.proposals import BackwardProposal, Beginnings
from inversescope.natural_text.site_data import DEPTH
from inversescope.natural_text.strata import strata
from inversescope.natural_text.target import SubjectPosterior
from inversescope.subject import Subject
from inversescope.subject.continuing import Continuing

TARGETS = (3, 200)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Listed:
    return listed(tmp_path_factory.getbasetemp() / "natural-listed")


@pytest.fixture(scope="module")
def weighted(world: Listed) -> dict[int, Weighted]:
    return {
        row: world.text.weighted(world.question(row), world.inputs[row].tolist(), proposals=1200) for row in TARGETS
    }


def test_the_prior_is_what_is_drawn(world: Listed):
    assert len(world.inputs) == TOP**LENGTH and float(world.log_p.exp().sum()) == pytest.approx(1, abs=1e-4)
    place = {tuple(row): i for i, row in enumerate(world.inputs.tolist())}
    drawn = [place[tuple(row)] for row in world.text.pool.tokens.tolist()]
    assert_close(world.text.pool.log_p.sum(1), world.log_p[drawn], atol=1e-3, rtol=0)
    first, expected = np.array(drawn) // TOP**2, world.log_p.exp().reshape(TOP**2, -1).sum(1).numpy()
    counts = np.bincount(first, minlength=TOP**2)
    assert stats.chisquare(counts, expected / expected.sum() * len(drawn)).pvalue > 0.001


def test_scores_are_those_of_whole_passes(world: Listed):
    posterior, truth = world.text.posterior(world.question(7)), world.exact(7)
    assert isinstance(posterior, Posterior)
    rows = torch.randint(len(world.inputs), (40,), generator=torch.Generator().manual_seed(0))
    inputs = world.inputs[rows]
    for same_before in (0, 2, 3, 1):
        scored = posterior.score(inputs, same_before)
        assert_close(scored.log_p, world.log_p[rows], atol=1e-3, rtol=0)
        assert_close(scored.distance.double(), truth.distance[rows], atol=1e-3, rtol=0)
        each = posterior.token_log_probs(inputs[:, : same_before + 1])
        assert_close(each.double(), truth.token_log_probs(inputs[:, : same_before + 1]), atol=2e-3, rtol=0)
    for t in range(LENGTH):
        mine, right = posterior.next_log_probs(inputs[:, :t]), truth.next_log_probs(inputs[:, :t])
        assert_close(mine.exp().double(), right.exp(), atol=1e-3, rtol=0)


def test_scores_do_not_depend_on_what_is_kept_meanwhile(world: Listed, monkeypatch: pytest.MonkeyPatch):
    """As many inputs in one call as are kept: the first that are read take the rows of the later ones' beginnings."""
    question = world.question(7)
    monkeypatch.setattr(question.reader, "rows", 4)
    posterior, truth = SubjectPosterior(question, kept=16), world.exact(7)
    some = torch.randperm(len(world.inputs), generator=torch.Generator().manual_seed(0))[:16]
    rows = torch.tensor(sorted(some.tolist(), key=lambda row: world.inputs[row].tolist()))  # the order of reading
    for half in (rows[8:], rows[:8]):
        posterior.score(world.inputs[half])
    scored = posterior.score(world.inputs[rows], LENGTH - 1)
    assert_close(scored.log_p, world.log_p[rows], atol=1e-3, rtol=0)
    assert_close(scored.distance.double(), truth.distance[rows], atol=1e-3, rtol=0)


def test_beginnings_that_are_kept_save_tokens(world: Listed):
    question = world.question(0)
    posterior = world.text.posterior(question)
    posterior.score(world.inputs[:16])
    before = question.reader.tokens_read
    posterior.score(world.inputs[:16], LENGTH - 1)
    assert question.reader.tokens_read - before == 16


def test_proposals_are_distributions(world: Listed):
    question = world.question(60)
    ends, pool = world.text.ends(question), PoolBeginnings(question)
    assert isinstance(ends, EndProposal) and isinstance(ends, BackwardProposal) and isinstance(pool, Beginnings)
    drawn, log_g = ends.draw(50, 2, torch.Generator().manual_seed(1))
    assert_close(ends.log_prob(drawn), log_g)
    by_steps = ends.log_probs(drawn[:, 1:]).gather(1, drawn[:, :1])[:, 0] + ends.log_probs(drawn[:, :0])[0, drawn[:, 1]]
    assert_close(by_steps.double(), log_g, atol=1e-4, rtol=0)
    for end in ((), (5,), (7, 5), (1, 7, 5)):
        assert float(ends.log_probs(torch.tensor([end], dtype=torch.long)).exp().sum()) == pytest.approx(1, abs=1e-3)
    behind = pool.log_next(2, drawn[:4, 0], torch.arange(8).reshape(4, 2))
    expected = world.exact(60).next_log_probs(pool.tokens[:8, :2])
    assert_close(
        behind.flatten().exp().double(),
        expected[torch.arange(8), drawn[:4, 0].repeat_interleave(2)].exp(),
        atol=1e-3,
        rtol=0,
    )


@pytest.mark.parametrize("bandwidth", [0.45, 0.6])
def test_weights_give_the_exact_posterior(world: Listed, weighted: dict[int, Weighted], bandwidth: float):
    for row, draws in weighted.items():
        truth, estimate = world.exact(row), draws.at(bandwidth)
        assert estimate.log_z == pytest.approx(truth.log_normaliser(bandwidth), abs=0.2)
        chance, tokens = truth.exact(bandwidth), np.array(draws.rows)
        for position in range(LENGTH):
            found = np.bincount(tokens[:, position], estimate.weights, minlength=truth.vocabulary)
            right = np.bincount(truth.inputs[:, position].numpy(), chance.numpy(), minlength=truth.vocabulary)
            assert 0.5 * np.abs(found - right).sum() < 0.1
        bits = float((chance * (chance.log() - truth.log_p)).nansum()) / math.log(2)
        assert estimate.bits == pytest.approx(bits, abs=0.2)
        assert estimate.spread < 1


def test_each_stratum_by_itself_has_the_same_normaliser(world: Listed):
    question, truth = world.question(200), world.exact(200).log_normaliser(0.6)
    ends = world.text.ends(question)
    counts, calls = {1: 1000, 2: 4000}, list[int]()
    found = strata(question, ends, counts, torch.Generator().manual_seed(0), lambda done, *_: calls.append(done))
    assert question.reader.rows in {later - done for done, later in itertools.pairwise(calls)}  # a call with each batch
    draws = Weighted(found)
    by_end = draws.at(0.6).by_end
    assert list(by_end) == [0, *range(1, DEPTH + 1)]
    for end, tolerance in ((0, 0.15), (1, 0.2), (2, 0.4)):  # longer ends have heavier weights here
        assert by_end[end] == pytest.approx(truth, abs=tolerance)


def test_nothing_but_inputs_of_the_prior_has_weight(world: Listed, weighted: dict[int, Weighted]):
    inputs = {tuple(row) for row in world.inputs.tolist()}
    for draws in weighted.values():
        weights = draws.at(0.5).weights
        assert all(row in inputs for row, weight in zip(draws.rows, weights, strict=True) if weight > 0)


def test_bandwidth_of_given_bits(weighted: dict[int, Weighted]):
    for draws, bits in itertools.product(weighted.values(), (1.0, 3.0)):
        assert draws.at_bits(bits).bits == pytest.approx(bits, abs=0.05)


def test_the_vocabulary_that_was_partly_read_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Stopped in the third part, the first two stay; a part that was damaged meanwhile is read again."""
    monkeypatch.setattr(readings, "_PART", 10)
    subject = Subject.load(str(small_subject.save_subject(tmp_path / "subject")), device="cpu", dtype="float32")
    sites, read, parts = subject.sites([SITE]), Continuing.read, list[int]()

    def stopped(reader: Continuing, tokens: torch.Tensor, *args: Any, **options: Any) -> Any:
        if tokens.shape != (1, len(subject.prefix)):
            if len(parts) == 2:
                raise KeyboardInterrupt
            parts.append(int(tokens[0, 0]))
        return read(reader, tokens, *args, **options)

    def counted(reader: Continuing, tokens: torch.Tensor, *args: Any, **options: Any) -> Any:
        parts.append(int(tokens[0, 0]))
        return read(reader, tokens, *args, **options)

    monkeypatch.setenv("INVERSESCOPE_CACHE", str(tmp_path / "whole"))
    right = readings.tokens_alone(subject, sites)
    monkeypatch.setenv("INVERSESCOPE_CACHE", str(tmp_path / "stopped"))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Continuing, "read", stopped)
        readings.tokens_alone(subject, sites)
    (damaged,) = tmp_path.glob("stopped/**/part-0000010.safetensors")
    damaged.write_bytes(damaged.read_bytes()[:-1])
    parts.clear()
    with monkeypatch.context() as patch:
        patch.setattr(Continuing, "read", counted)
        again = readings.tokens_alone(subject, sites)
    assert 0 not in parts[1:] and {10, 20, 30} < set(parts)
    assert_close(again[0][sites[0]], right[0][sites[0]])
    assert_close(again[1], right[1])
    assert not list(tmp_path.glob("stopped/**/parts-*"))


@pytest.mark.parametrize("address", ["resid_post.1", "resid_pre.1", "q.1.0", "mlp_out.0"])
def test_ends_that_share_beginnings_are_read_as_whole_inputs(address: str, world: Listed):
    subject, (site,) = world.text.subject, world.text.subject.sites([address])
    ends = torch.tensor([[a, b, c] for a in (5, 7) for b in (9, 11) for c in range(20, 26)])[torch.randperm(24)]
    reader = Continuing(subject, [site])
    found = readings.read_alone(reader, ends)[site]
    whole = subject.capture([(*subject.prefix, *row) for row in ends.tolist()], [site]).activations[site]
    assert_close(found, whole, atol=1e-4, rtol=1e-4)
    layers = reader.layers / subject.shape.layers
    tokens = 4 * 2 + len(ends) if reader.layers > 1 else ends.numel()
    assert reader.tokens_read == pytest.approx(tokens * layers)
