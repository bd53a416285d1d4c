"""Ladders of chains: exact in distribution, flagged where they are stuck in a phase; exchanges and swaps stationary."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from arviz_stats.base.array import BaseArray
from scipy import stats
from toy_text import LENGTH, TOKENS, Pool, TableProposal, TableText, posterior_of, two_phases

from inversescope.errors import UserError
from inversescope.natural_text.budget import Budget
from inversescope.natural_text.chain_diagnostics import diagnose
from inversescope.natural_text.chains import Ladders, Mix, starts_by_weight, usual_mix
from inversescope.natural_text.moves import TokenFromSubject
from inversescope.natural_text.posterior import Scored
from inversescope.stats.chains import r_hat, r_hat_of_labels
from inversescope.verdicts.chains import of_chains

BANDWIDTHS = (0.4, 0.8, 1.6)
LADDERS = 20_000


def start_of(posterior: TableText, random: torch.Generator) -> torch.Tensor:
    """Ladders that begin in the posterior of every bandwidth."""
    levels = [torch.multinomial(posterior.exact(h), LADDERS, replacement=True, generator=random) for h in BANDWIDTHS]
    return posterior.inputs[torch.stack(levels, 1)]


def p_values(posterior: TableText, tokens: torch.Tensor) -> list[float]:
    """Of the inputs at each level against the exact posterior."""
    found = []
    for level, bandwidth in enumerate(BANDWIDTHS):
        expected = posterior.exact(bandwidth) * LADDERS
        counts = torch.bincount(posterior.place(tokens[:, level]), minlength=len(expected)).double()
        common = expected >= 5
        observed = torch.cat([counts[common], counts[~common].sum()[None]])
        wanted = torch.cat([expected[common], expected[~common].sum()[None]])
        found.append(float(stats.chisquare(observed, wanted).pvalue))
    return found


class Idle(TokenFromSubject):
    """A move that stays, so that nothing but exchanges of bandwidths is left."""

    def propose(self, chains, random):
        return super().propose(chains, random)._replace(tokens=chains.tokens)


@pytest.mark.parametrize("kind", ["exchange", "swapped beginnings"])
def test_moves_between_bandwidths_leave_every_posterior_as_it_is(kind: str):
    random, posterior = torch.Generator().manual_seed(5), posterior_of()
    idle = Idle(posterior)
    mix = Mix(((idle, 1.0),)) if kind == "exchange" else Mix(((idle, 0.0),), swap=1.0)
    ladders = Ladders(posterior, start_of(posterior, random), BANDWIDTHS, mix, random)
    if kind == "swapped beginnings":
        ladders._exchange = lambda: None
    trace = ladders.run(Budget(tokens=10**9), steps=3)
    assert float((trace.tokens[0] != trace.tokens[-1]).any(2).double().mean()) > 0.05
    assert min(p_values(posterior, trace.tokens[-1])) > 1e-3


@pytest.mark.parametrize("kind", ["exchange", "swapped beginnings"])
def test_taken_without_their_ratio_they_do_not(kind: str, monkeypatch: pytest.MonkeyPatch):
    random, posterior = torch.Generator().manual_seed(5), posterior_of()
    idle = Idle(posterior)
    mix = Mix(((idle, 1.0),)) if kind == "exchange" else Mix(((idle, 0.0),), swap=1.0)
    ladders = Ladders(posterior, start_of(posterior, random), BANDWIDTHS, mix, random)
    if kind == "swapped beginnings":
        ladders._exchange = lambda: None
        monkeypatch.setattr(type(ladders.chains), "log_density", lambda self, scored: torch.zeros(len(self.tokens)))
    else:
        ladders.chains.bandwidth = torch.ones_like(ladders.chains.bandwidth)
    trace = ladders.run(Budget(tokens=10**9), steps=3)
    assert min(p_values(posterior, trace.tokens[-1])) < 1e-6


def test_a_ladder_reproduces_the_exact_posterior():
    random, posterior = torch.Generator().manual_seed(6), posterior_of()
    pool = Pool(posterior, 20_000, random)
    mix = usual_mix(posterior, pool, TableProposal(), random)
    scored = Scored(pool.token_log_p.sum(1), pool.distance)
    start = starts_by_weight(pool.tokens, torch.zeros(20_000).double(), scored, BANDWIDTHS, 40, random)
    trace = Ladders(posterior, start, BANDWIDTHS, mix, random).run(Budget(tokens=10**9), steps=400)
    tokens = trace.stack(trace.tokens)
    for level, bandwidth in enumerate(BANDWIDTHS):
        exact = posterior.exact(bandwidth)
        for place in range(LENGTH):
            own = torch.bincount(tokens[:, :, level, place].flatten(), minlength=TOKENS).double()
            wanted = torch.zeros(TOKENS).double().index_add(0, posterior.inputs[:, place], exact)
            assert 0.5 * float((own / own.sum() - wanted).abs().sum()) < 0.05
    assert all(each.verdict for each in diagnose(trace, ["one", "other"] * 20))
    assert trace.round_trips.sum() > 0


def ladders_in_two_phases(mix_of) -> list:
    random, posterior = torch.Generator().manual_seed(7), two_phases()
    pool = Pool(posterior, 2000, random)
    one, other = torch.zeros(LENGTH, dtype=torch.long), torch.full((LENGTH,), TOKENS - 1)
    start = torch.stack([one, other]).repeat(4, 1)[:, None].repeat(1, 2, 1)
    trace = Ladders(posterior, start, (0.5, 1.0), mix_of(posterior, pool, random), random).run(
        Budget(tokens=10**9), steps=200
    )
    return diagnose(trace, ["one", "other"] * 4)


def test_chains_stuck_in_a_phase_are_not_believed():
    stuck = ladders_in_two_phases(lambda posterior, pool, random: Mix(((TokenFromSubject(posterior), 1.0),)))
    assert not any(each.verdict for each in stuck)
    free = ladders_in_two_phases(lambda p, pool, random: usual_mix(p, pool, TableProposal(), random))
    assert all(each.verdict for each in free)


def test_one_start_is_not_believed_however_well_it_agrees():
    assert not of_chains({"the distance": 1.0}, starts=1)
    assert of_chains({"the distance": 1.0}, starts=2)
    assert not of_chains({"the distance": float("nan")}, starts=2)


def test_phases_of_equal_density_differ_in_distance_and_not_in_the_sum():
    """R̂ of ln P − δ²/2h² is blind to them, so it decides nothing."""
    rng = np.random.default_rng(0)
    distance = np.array([0.3, 1.0])[:, None] + 0.05 * rng.standard_normal((2, 200))
    total = -20 + rng.standard_normal((2, 200))
    assert r_hat(total) < 1.05
    assert r_hat(distance) > 1.5


@pytest.mark.parametrize("shift", [0.0, 0.3, 3.0])
def test_r_hat_is_arviz(shift: float):
    rng = np.random.default_rng(1)
    values = rng.standard_normal((4, 101)) + shift * np.arange(4)[:, None]
    assert r_hat(values) == pytest.approx(float(BaseArray().rhat(values, chain_axis=0, draw_axis=1)), rel=1e-6)


def test_r_hat_of_labels():
    same = [["a", "b"] * 20, ["b", "a"] * 20]
    assert r_hat_of_labels(same) < 1.1
    assert r_hat_of_labels([["a"] * 40, ["b"] * 40]) == np.inf
    assert r_hat_of_labels([["a"] * 40, ["a"] * 40]) == 1.0
    assert np.isnan(r_hat_of_labels([[str(step) for step in range(40)]] * 2))


def test_a_budget_ends_at_its_tokens_and_at_ctrl_c():
    random, posterior = torch.Generator().manual_seed(8), posterior_of()
    mix = Mix(((TokenFromSubject(posterior), 1.0),))
    start = start_of(posterior, random)[:4]
    budget = Budget(tokens=500)
    Ladders(posterior, start, BANDWIDTHS, mix, random).run(budget)
    assert 500 <= budget.spent < 500 + 4 * 3 * LENGTH

    def press(done: int, total: int, note: str = "", /) -> None:
        if done > 500:
            raise KeyboardInterrupt

    interrupted = Budget(tokens=500, progress=press)
    trace = Ladders(posterior, start, BANDWIDTHS, mix, random).run(interrupted)
    assert interrupted.cancelled
    assert len(trace.tokens) > 0
    assert interrupted.spent < 400


@pytest.mark.parametrize("limits", [{}, {"tokens": 0}, {"seconds": -1.0}])
def test_a_budget_needs_a_limit(limits: dict):
    with pytest.raises(UserError):
        Budget(**limits)
