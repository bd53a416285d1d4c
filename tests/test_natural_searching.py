"""Chains, sequential Monte Carlo and searches of a small subject whose inputs can all be listed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from natural_fixture import Listed, listed
from refusals import refuses

from inversescope.natural_text import searching
from inversescope.natural_text.beginnings import PoolBeginnings
from inversescope.natural_text.budget import Budget
from inversescope.natural_text.chains import Ladders, starts_by_weight, usual_mix
from inversescope.natural_text.posterior import Scored
from inversescope.natural_text.question import Source
from inversescope.natural_text.smc import sequential

BANDWIDTHS = (0.4, 0.6, 0.9)
TARGETS = (3, 60)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Listed:
    return listed(tmp_path_factory.getbasetemp() / "natural-listed")


def source_of(world: Listed, row: int) -> Source:
    return Source("an input", world.question(row), tuple(world.inputs[row].tolist()))


@pytest.mark.parametrize("row", TARGETS)
def test_sequential_monte_carlo_finds_the_normaliser(world: Listed, row: int):
    question, truth = world.question(row), world.exact(row)
    posterior, pool, ends = world.text.posterior(question), PoolBeginnings(question), world.text.ends(question)
    random = torch.Generator().manual_seed(0)
    run = sequential(posterior, pool, ends, (0.9, 0.5), 500, random, Budget(tokens=10**6))
    assert run.log_normaliser[0] == pytest.approx(truth.log_normaliser(0.9), abs=0.3)
    assert run.log_normaliser[1] == pytest.approx(truth.log_normaliser(0.5), abs=0.3)


def test_chains_give_the_exact_posterior(world: Listed):
    question, truth = world.question(60), world.exact(60)
    posterior, pool, ends = world.text.posterior(question), PoolBeginnings(question), world.text.ends(question)
    random = torch.Generator().manual_seed(0)
    scored = Scored(pool.token_log_p.sum(1), pool.distance)
    start = starts_by_weight(pool.tokens, torch.zeros(len(pool.tokens)), scored, BANDWIDTHS, 24, random)
    mix = usual_mix(posterior, pool, ends, random)
    trace = Ladders(posterior, start, BANDWIDTHS, mix, random).run(Budget(tokens=10**7), steps=50)
    for values, exact in ((trace.distance, truth.distance), (trace.log_p, truth.log_p)):
        by_ladder = torch.stack(values).double().mean(0)
        expected = torch.tensor([float(truth.exact(bandwidth) @ exact) for bandwidth in BANDWIDTHS])
        error = by_ladder.std(0) / len(by_ladder) ** 0.5
        assert ((by_ladder.mean(0) - expected).abs() < 4 * error).all()
        assert (error < 0.5 * exact.std()).all()
    assert all(bool((each > 0).any()) for each in trace.accepted.values())


@pytest.mark.parametrize("row", TARGETS)
def test_searches_find_what_there_is(world: Listed, row: int):
    truth, source = world.exact(row), source_of(world, row)
    best = searching.invert(world.text, source, "best", Budget(tokens=2500), 0.5)
    density = truth.log_p - truth.distance**2 / (2 * 0.5**2)
    assert best.found[0].tokens == tuple(world.inputs[int(density.argmax())].tolist())
    assert best.short_of_source <= 1e-3
    nearest = searching.invert(world.text, source, "nearest", Budget(tokens=2500))
    assert nearest.found[0].distance < 0.01
    assert nearest.bandwidth is None
    for answer in (best, nearest):
        for each in answer.found:
            place = world.inputs.tolist().index(list(each.tokens))
            assert each.log_p == pytest.approx(float(world.log_p[place]), abs=1e-3)
            assert each.distance == pytest.approx(float(truth.distance[place]), abs=1e-3)


def test_the_shortest_is_one_token_where_distances_hardly_count(world: Listed, tmp_path: Path):
    answer = searching.invert(world.text, source_of(world, 60), "shortest", Budget(tokens=1500), 3.0)
    assert len(answer.found[0].tokens) == 1
    assert answer.short_of_source < 0
    answer.save(tmp_path / "answer.json")
    assert json.loads((tmp_path / "answer.json").read_text())["answer"] == "shortest"


def test_the_nearest_has_no_bandwidth(world: Listed):
    with refuses(given=0.1, remedy="best"):
        searching.invert(world.text, source_of(world, 0), "nearest", Budget(tokens=10), 0.1)
