"""Verdicts on planted generators are right, and rest on the numbers that enumeration gives."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from inversescope.calibrate.divergence import Comparison

PLANTED = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "verdicts.py"))
SITE = PLANTED["SITES"][0]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("kind", PLANTED["RIGHT"])
def test_every_question_has_the_right_verdict(kind: str, seed: int):
    """Seed 0: a prior that is known; seed 1: one that is not."""
    assert [given for _, given in PLANTED["verdicts"](kind, seed)] == [
        right for right, _ in PLANTED["verdicts"](kind, seed)
    ]


@pytest.mark.parametrize("kind", PLANTED["RIGHT"])
def test_where_little_but_the_source_remains_draws_of_the_prior_are_no_copies(kind: str):
    given = PLANTED["verdicts"](kind, 0, PLANTED["FINE"])
    assert all(found == right for right, found in given), given


@pytest.mark.parametrize("kind", ["perfect", "copying", "early"])
def test_divergence_and_share_of_training_inputs_are_those_of_enumeration(kind: str):
    world = PLANTED["World"](2, known=True)
    planted = PLANTED["Planted"](world, kind, np.random.default_rng(0))
    comparison, h = Comparison(world, world, 160, 24, 2), world.bandwidths[SITE][0]
    found = comparison.compare(planted, SITE, h, "clean")
    places = [world.splits["pool"][row] for row in comparison.targets]
    exact, q = world.posterior(SITE, world.read[SITE][places], h), planted.q[1:]
    divergence = np.where(exact > 0, exact * np.log(np.maximum(exact, 1e-300) / q), 0).sum(1)
    assert found.divergence.mean() == pytest.approx(divergence.mean(), abs=0.1)
    trained = sorted(set(world.splits["train"]))
    assert found.expected.mean() == pytest.approx(exact[:, trained].sum(1).mean(), abs=0.03)
    assert found.in_training.mean() == pytest.approx(q[:, trained].sum(1).mean(), abs=0.03)


@pytest.mark.parametrize("known", [True, False])
def test_the_strata_hold_the_prior_and_a_source_its_own(known: bool):
    world = PLANTED["World"](3, known)
    comparison = Comparison(world, world, 40, 4, 3)
    strata, trained = comparison.strata, sorted(set(world.splits["train"]))
    assert strata.mass.sum() == pytest.approx(1)
    assert strata.mass[strata.trained].sum() == pytest.approx(world.prior[trained].sum(), abs=0.02)
    fine = strata.posterior(SITE, 1e-3)  # nothing but the source is so near
    assert fine.weights[np.arange(40), strata.targets] == pytest.approx(1)
    assert np.isnan(fine.log_probability).all() != known


def test_the_generalisation_gap_of_a_posterior_is_zero_and_that_of_a_copy_is_its_odds():
    world = PLANTED["World"](4, known=True)
    comparison, h = Comparison(world, world, 160, 4, 4), world.bandwidths[SITE][0]
    for kind in ("perfect", "copying"):
        planted = PLANTED["Planted"](world, kind, np.random.default_rng(0))
        found = comparison.compare(planted, SITE, h, "clean")
        q, exact = (share.mean() for share in (found.in_training, found.expected))
        odds = np.log(q / (1 - q) * (1 - exact) / exact) if kind == "copying" else 0
        assert found.scores["generalisation"].mean() == pytest.approx(odds, abs=0.3)
