"""Calibration, in an enumerable world: divergences and gaps are those of the formulas, and verdicts are right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from toy_world import COUNTS, INPUTS, LAST, PRIOR, ToyTask, posterior, read, rows, write_store

from inversescope import files
from inversescope.calibrate.calibrate import calibrate, check
from inversescope.calibrate.divergence import Comparison, sample_points, two_sample
from inversescope.collect.posterior import distances, stand_ins
from inversescope.collect.posterior import posterior as over_pool
from inversescope.collect.store import Store
from inversescope.config import CalibrateConfig, GeneratorConfig, TrainConfig
from inversescope.generator import Generator
from inversescope.progress import silent
from inversescope.train.bandwidth_range import bandwidth_range
from inversescope.train.train import train
from inversescope.train.trainer import Check

CPU = torch.device("cpu")
SITES = (COUNTS, LAST)
SHAPE = GeneratorConfig(sites=("resid_post.*",), width=32, layers=1, heads=2)
ASKED = CalibrateConfig(targets=24, queries=("clean", "noisy"), bandwidths=(0.1, 0.4))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The whole prior, as train split and pool."""
    splits = {"pool": INPUTS, "target": INPUTS}
    return write_store(tmp_path_factory.mktemp("whole"), splits, read, ToyTask().labels, PRIOR)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Store:
    splits = {"train": 10 * rows(), "pool": 3 * rows(), "target": INPUTS}
    return write_store(tmp_path_factory.mktemp("drawn"), splits, read, ToyTask().labels)


def trained(
    folder: Path, store: Store, steps: int, ask: Check | None = None, every: int = 1000, shape: GeneratorConfig = SHAPE
) -> Generator:
    config = TrainConfig(steps=steps, check=every, batch=128, learning_rate=1e-2, clean=0.5, unconditional=0.2)
    return train(
        folder,
        store,
        SITES,
        shape,
        config,
        0,
        CPU,
        lambda done, total, note="": None,
        check=ask,
        sampled=dict.fromkeys(SITES, (0.1, 0.4)),
    ).eval()


@pytest.fixture(scope="module")
def good(whole: Store, tmp_path_factory: pytest.TempPathFactory) -> Generator:
    return trained(tmp_path_factory.mktemp("good"), whole, 300)


@pytest.fixture(scope="module")
def early(whole: Store, tmp_path_factory: pytest.TempPathFactory) -> Generator:
    """Stopped after three steps, with an encoder of which nothing is fitted before training."""
    unfitted = SHAPE.model_copy(update={"encoder": "residual"})
    return trained(tmp_path_factory.mktemp("early"), whole, 3, shape=unfitted)


def comparison(store: Store) -> Comparison:
    return Comparison(store, ToyTask(), 24, 200, 0, points=64)


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("h", [0.1, 0.4])
def test_the_exact_posterior_is_the_formula(whole: Store, site, h: float):
    targets = stand_ins(whole, 20, 0)
    activations = whole.activations("pool", site)[targets]
    found = over_pool(whole, distances(whole, whole.distance(site), site, targets, activations), h)
    expected = [[*_posterior(z, site, h)] for z in activations.double().numpy()]
    assert found == pytest.approx(np.array(expected), abs=1e-6)


def _posterior(z: np.ndarray, site, h: float) -> np.ndarray:
    """The formula of toy_world, whose deviations are those of a sample of forty; here they are the prior's own."""
    return posterior(z, site, h * (39 / 40) ** 0.5)


def test_stand_ins_are_drawn_from_the_prior(whole: Store):
    counts = Counter(stand_ins(whole, 20_000, 0))
    assert [counts[i] / 20_000 for i in range(len(INPUTS))] == pytest.approx(list(PRIOR.values()), abs=0.015)


def test_a_draw_is_not_its_own_neighbour(drawn: Store):
    targets = stand_ins(drawn, 10, 0)
    tokens = drawn.inputs("pool").tokens
    found = distances(drawn, drawn.distance(LAST), LAST, targets, drawn.activations("pool", LAST)[targets])
    for target, row in zip(targets, found, strict=True):
        assert {tokens[i] for i in np.flatnonzero(np.isinf(row))} == {tokens[target]}


@pytest.mark.parametrize("query", ["clean", "noisy"])
def test_divergence_and_variation_are_sums_over_the_prior(whole: Store, early: Generator, query):
    """All eight inputs are fewer than the points, so nothing is sampled: against numpy."""
    asked = comparison(whole)
    found = asked.compare(early, COUNTS, 0.2, query)
    rng = torch.Generator().manual_seed(0)
    activations = whole.activations("pool", COUNTS)[asked.targets]
    h = torch.full((len(activations),), 0.2)
    if query == "noisy":
        activations = early.channel(COUNTS).noised(activations, h, rng)
    with torch.no_grad():
        condition = early.condition(COUNTS, activations, h).repeat_interleave(len(INPUTS), 0)
        given = early.vocabulary.encode(INPUTS).repeat(len(activations), 1)
        log_q = -early.nats(given, condition).double().numpy().reshape(-1, len(INPUTS))
    true = np.array([_posterior(z, COUNTS, 0.2) for z in activations.double().numpy()])
    kl = (true * (np.log(true, where=true > 0, out=np.zeros_like(true)) - log_q)).sum(1)
    assert found.divergence == pytest.approx(kl, abs=1e-4)
    assert found.variation == pytest.approx(np.maximum(0, true - np.exp(log_q)).sum(1), abs=1e-4)


def test_gaps_are_shares_of_the_draws_minus_the_posteriors(whole: Store, good: Generator):
    found = comparison(whole).compare(good, LAST, 0.1, "clean")
    with torch.no_grad():
        condition = good.condition(LAST, whole.activations("pool", LAST), torch.full((len(INPUTS),), 0.1))
        given = good.vocabulary.encode(INPUTS).repeat(len(INPUTS), 1)
        q = (-good.nats(given, condition.repeat_interleave(len(INPUTS), 0))).exp().numpy().reshape(len(INPUTS), -1)
    labels = np.array([ToyTask().labels(x)["last"] for x in INPUTS], dtype=object)
    for target, gap in zip(comparison(whole).targets, found.gaps["last"], strict=True):
        if labels[target] is None:
            assert np.isnan(gap)
        else:
            true = _posterior(whole.activations("pool", LAST)[target].double().numpy(), LAST, 0.1)
            same = labels == labels[target]
            assert gap == pytest.approx(q[target, same].sum() - true[same].sum(), abs=0.12)


def test_what_was_trained_is_calibrated_and_what_was_stopped_early_is_not(
    whole: Store, good: Generator, early: Generator, tmp_path: Path
):
    for name, generator, judgement in (("good", good, "calibrated"), ("early", early, "undertrained")):
        folder = tmp_path / name
        calibrate(folder, whole, generator, ToyTask(), ASKED, {}, 0, silent)
        found = files.read_json(folder / "verdicts.json")
        assert found["truth"] == "exact"
        assert found["counts"] == {judgement: 8}
        assert (found["prior"]["kl"] < 0.05) == (name == "good")
        assert (found["prior"]["p_value"] > 0.05) == (name == "good")
        table = pq.read_table(folder / "calibration.parquet").to_pylist()
        assert len(table) == 2 * 2 * 2
        assert all(row["kl_low"] < row["kl"] < row["kl_high"] <= row["kl_worst"] + 1 for row in table)


def test_a_bandwidth_outside_the_trained_range_cannot_be_told(whole: Store, good: Generator, tmp_path: Path):
    asked = ASKED.model_copy(update={"bandwidths": (50.0,)})
    calibrate(tmp_path, whole, good, ToyTask(), asked, {}, 0, silent)
    rows = pq.read_table(tmp_path / "calibration.parquet").to_pylist()
    assert {row["site"] for row in rows} == set(map(str, SITES))
    assert len(rows) == 4 and all(row["verdict"] == "cannot tell" and row["reason"] for row in rows)


class UnknownPrior(ToyTask):
    def log_prior(self, tokens: Sequence[int]) -> None:
        return None


@pytest.mark.parametrize("known", [True, False])
def test_without_the_whole_prior_the_posterior_is_estimated(drawn: Store, tmp_path: Path, known: bool):
    """The training inputs hold the whole prior, so the estimate is exact where P is known; else there is none."""
    generator = trained(tmp_path / "train", drawn, 200)
    asked = ASKED.model_copy(update={"queries": ("clean",), "bandwidths": (0.4,)})
    calibrate(tmp_path, drawn, generator, ToyTask() if known else UnknownPrior(), asked, {}, 0, silent)
    found = files.read_json(tmp_path / "verdicts.json")
    assert found["truth"] == "pool"
    assert found["prior"]["kl"] is None
    rows = pq.read_table(tmp_path / "calibration.parquet").to_pylist()
    assert all((row["kl"] is not None and abs(row["kl"]) < 0.1) == known for row in rows)
    assert all(row["in_training_expected"] == pytest.approx(1, abs=0.05) for row in rows)
    assert {row["bandwidth"] for row in rows} == {0.4}


def test_training_ends_when_it_is_calibrated(whole: Store, tmp_path: Path):
    ask = check(whole, ToyTask(), ASKED, {}, 0)
    trained(tmp_path, whole, 2000, ask, every=50)
    losses = pq.read_table(tmp_path / "losses.parquet").num_rows
    assert losses < 1000
    assert losses % 50 == 0


def test_bandwidths_reach_from_one_neighbour_to_the_prior(whole: Store):
    for site in SITES:
        low, high = bandwidth_range(whole, site, 0)
        assert low < 0.5 < 1 < high


@pytest.mark.parametrize("points", [3, 8, 40])
def test_sampled_points_estimate_a_mean_without_bias(points: int):
    rng = np.random.default_rng(0)
    probability = rng.dirichlet(np.full(60, 0.3))
    values, sums = rng.normal(size=60), []
    for seed in range(4000):
        places, share = sample_points(probability, points, np.random.default_rng(seed))
        assert len(places) <= points + 1
        sums.append(share @ values[places])
    error = np.std(sums) / len(sums) ** 0.5
    assert np.mean(sums) == pytest.approx(probability @ values, abs=4 * error + 1e-9)


def test_fewer_inputs_than_points_are_summed_exactly():
    probability = np.r_[0.5, 0.3, 0.2, np.zeros(5)]
    places, share = sample_points(probability, 8, np.random.default_rng(0))
    assert (places.tolist(), share.tolist()) == ([0, 1, 2], [0.5, 0.3, 0.2])


def test_draws_of_the_prior_pass_for_it_though_the_pool_lacks_its_likeliest_input(
    early: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    splits = {"train": 10 * rows(), "pool": [x for x in 3 * rows() if x != INPUTS[0]], "target": [INPUTS[0]]}
    comparison = Comparison(write_store(tmp_path, splits, read, ToyTask().labels), ToyTask(), 8, 4, 0)
    drawn = ToyTask().draw(400, np.random.default_rng(1))
    monkeypatch.setattr("inversescope.calibrate.divergence.draw_from", lambda *_: (drawn, None))
    p_value = comparison.prior(early)["p_value"]
    assert p_value is not None and p_value > 0.05


def test_the_two_sample_test_is_uniform_under_the_null_and_sees_a_difference():
    rng = np.random.default_rng(0)

    def some(n: int, p: list[float]) -> list[tuple[int, ...]]:
        return [INPUTS[i] for i in rng.choice(len(INPUTS), n, p=p)]

    prior = list(PRIOR.values())
    under_null = [two_sample(some(60, prior), some(60, prior), seed) for seed in range(60)]
    assert 0.3 < np.mean(under_null) < 0.7
    assert np.mean([p < 0.1 for p in under_null]) < 0.25
    assert two_sample(some(200, prior), some(200, prior[::-1]), 0) < 0.01
