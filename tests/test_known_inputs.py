"""The reference with known inputs as a stratum, against the exact posterior of small worlds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from jaxtyping import Float, Int
from measured import known_inputs, reference
from numpy import ndarray
from safetensors.numpy import load_file
from toy_world import COUNTS, INPUTS, LAST, PRIOR, ToyTask, read, rows, write_store

from inversescope import records
from inversescope.calibrate.strata import Strata
from inversescope.collect.draw_inputs import draw_splits
from inversescope.collect.inputs import KnownInputs, read_known
from inversescope.collect.store import Store
from inversescope.config import CollectConfig
from inversescope.score.labelled_feature import read_features
from inversescope.score.methods_and_controls import from_pool
from inversescope.score.pool import Known, SitePool
from inversescope.stats.kernel import Kernel
from inversescope.stats.weights import effective_sample_size

SIZE, TARGETS, H = 400, 12, 0.4


@pytest.fixture(scope="module")
def world() -> tuple[Float[ndarray, " inputs"], Float[ndarray, "inputs inputs"], Int[ndarray, " inputs"]]:
    """P, δ and a label of every input."""
    rng = np.random.default_rng(0)
    places, prior = rng.normal(size=(SIZE, 2)), rng.gamma(2.0, size=SIZE)
    distances = np.sqrt(((places[:, None] - places) ** 2).mean(-1))
    return prior / prior.sum(), distances, (places[:, 0] > 0.3).astype(int)


def errors(world: tuple[ndarray, ndarray, ndarray], train: Int[ndarray, " train"], repeats: int) -> Float[ndarray, ...]:
    """Of the pool alone and with the known inputs, in many pools: share of the label less the exact share, and the
    effective sample size, [pool or both, error or size, repeats].
    """
    prior, distances, label = world
    rng, found = np.random.default_rng(1), []
    for _ in range(repeats):
        targets = rng.choice(SIZE, TARGETS, replace=False)
        known = np.union1d(train, targets)
        rest = np.setdiff1d(np.arange(SIZE), known)
        pool = rng.choice(rest, 150, p=prior[rest] / prior[rest].sum())
        exact = (Kernel.GAUSSIAN.posterior(distances[targets], H, np.log(prior)) * label).sum(1)
        uniform = np.full(len(pool), 1 / len(pool))
        left = uniform * (1 - prior[known].sum())
        beside = Known(distances[np.ix_(known, targets)], KnownInputs([], prior[known], left))
        estimates = []
        for inputs, stratum in ((pool, None), (np.concatenate((pool, known)), beside)):
            of_pool = distances[np.ix_(pool, targets)]
            at = SitePool.of(of_pool, uniform, False, [H], Kernel.GAUSSIAN, stratum).posterior[H]
            estimates.append([((at * label[inputs]).sum(1) - exact).mean(), effective_sample_size(at).mean()])
        found.append(estimates)
    return np.array(found).transpose(1, 2, 0)


def off(error: Float[ndarray, " repeats"]) -> float:
    """The mean error in standard errors."""
    return float(error.mean() / (error.std() / len(error) ** 0.5))


def test_known_inputs_make_the_reference_more_exact(world: tuple):
    """Training inputs are drawn as the pool is. A ratio of means has a bias of the order of 1 / size."""
    train = np.unique(np.random.default_rng(2).choice(SIZE, 250, p=world[0]))
    pool, both = errors(world, train, 200)
    assert abs(both[0].mean()) < 0.01
    assert both[1].mean() > 1.4 * pool[1].mean()
    assert (both[0] ** 2).mean() < 0.6 * (pool[0] ** 2).mean()


def test_known_inputs_of_one_side_leave_the_reference_unbiased(world: tuple):
    """The pool lacks what was trained on; where that is all of one label, the pool alone is wrong."""
    train = np.flatnonzero(world[2])[::2]
    pool, both = errors(world, train, 200)
    assert abs(both[0].mean()) < 0.01
    assert pool[0].mean() < -0.03 and off(pool[0]) < -10


def splits() -> dict[str, list[tuple[int, ...]]]:
    """Three inputs are trained on, one of them twice; one is a target; the pool has the others, and so often that each
    was surely to be drawn.
    """
    train, target = [INPUTS[0], INPUTS[1], INPUTS[1], INPUTS[2]], [INPUTS[3]]
    return {"train": train, "target": target, "pool": [x for x in rows() if x not in (*train, *target)] * 30}


class Forms(ToyTask):
    """Two forms of inputs, each half of the prior: of 20 inputs, drawn many times, and of 4,000, hardly drawn twice."""

    texts = (20, 4000)

    def draw(self, n: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
        forms = rng.integers(2, size=n)
        return list(zip(forms.tolist(), rng.integers(np.array(self.texts)[forms]).tolist(), strict=True))

    def log_prior(self, tokens: Sequence[int]) -> float:
        return float(np.log(0.5 / self.texts[tokens[0]]))


def test_splits_as_they_are_drawn_leave_no_form_of_an_uneven_prior_too_small(tmp_path: Path):
    """All of training's frequent inputs are known, and nearly none of its rare ones: the pool is no sample of the rest.
    With each of its rows for as much as the next one the short form has .63. The strata of the verdicts are without the
    targets.
    """
    config, found, verdicts = CollectConfig(train=300, pool=200, targets=4), [], []
    for seed in range(20):
        drawn = draw_splits(config, Forms(), np.random.default_rng(seed))
        folder = tmp_path / str(seed)
        store = write_store(folder / "collect", drawn, lambda x: {LAST: [float(x[0])]}, lambda _: {})
        known_inputs(folder / "reference", store, [], Forms())
        known = read_known(folder)
        assert known is not None and known.shares.sum() == pytest.approx(1)
        inputs = [*store.inputs("pool").tokens, *(store.inputs(split).tokens[row] for split, row in known.rows)]
        found.append(known.shares[[form == 0 for form, _ in inputs]].sum())
        strata, targets = Strata(store, Forms(), [0]), store.inputs("target").tokens
        short, both = (sum(np.exp(Forms().log_prior(x)) for x in targets if x[0] <= most) for most in (0, 1))
        verdicts.append(strata.mass[[form == 0 for form, _ in strata.tokens]].sum() - (0.5 - short) / (1 - both))
    assert abs(np.mean(found) - 0.5) < 0.015 and abs(np.mean(verdicts)) < 0.02


class Frequent(Forms):
    """Half of the prior is 40 inputs that each make up much of a split, the other half 20,000 rare ones."""

    texts = (40, 20_000)


def test_a_split_with_more_of_the_frequent_inputs_has_fewer_of_the_rare_ones(tmp_path: Path):
    """The share of training among the rows is not theirs: with it the share of a form is off by .025."""
    config, off = CollectConfig(train=900, pool=600, targets=4), []
    for seed in range(8):
        folder = tmp_path / str(seed)
        drawn = draw_splits(config, Frequent(), np.random.default_rng(seed))
        store = write_store(folder / "collect", drawn, lambda x: {LAST: [float(x[0])]}, lambda _: {})
        known_inputs(folder / "reference", store, [], Frequent())
        known = read_known(folder)
        assert known is not None
        inputs = [*store.inputs("pool").tokens, *(store.inputs(split).tokens[row] for split, row in known.rows)]
        reference = known.shares[[form == 0 for form, _ in inputs]].sum() - 0.5
        strata, targets = Strata(store, Frequent(), [0]), store.inputs("target").tokens
        short, both = (sum(np.exp(Frequent().log_prior(x)) for x in targets if x[0] <= most) for most in (0, 1))
        verdicts = strata.mass[[form == 0 for form, _ in strata.tokens]].sum() - (0.5 - short) / (1 - both)
        off.append((reference, verdicts))
    assert (np.sqrt(np.mean(np.square(off), 0)) < 0.012).all(), np.sqrt(np.mean(np.square(off), 0))


class Unknown(ToyTask):
    def log_prior(self, tokens: object) -> None:
        return None


class UnknownInPool(ToyTask):
    """P is known of what is trained on and asked about alone."""

    def log_prior(self, tokens: Sequence[int]) -> float | None:
        return super().log_prior(tokens) if tokens in INPUTS[:4] else None


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return write_store(tmp_path / "collect", splits(), read, ToyTask().labels)


def test_known_inputs_are_written_once_each_with_their_probability(store: Store, tmp_path: Path):
    known_inputs(tmp_path / "reference", store, [COUNTS, LAST], ToyTask())
    known = read_known(tmp_path)
    assert known is not None
    assert known.rows == [("train", 0), ("train", 1), ("train", 3), ("target", 0)]
    assert known.probability == pytest.approx([PRIOR[x] for x in INPUTS[:4]])
    pool = store.inputs("pool").tokens
    assert known.of_pool == pytest.approx([PRIOR[x] / pool.count(x) for x in pool])
    distances = load_file(tmp_path / records.collect.KNOWN_DISTANCES.path)
    assert {name: rows.shape for name, rows in distances.items()} == {str(COUNTS): (4, 1), str(LAST): (4, 1)}
    assert distances[str(COUNTS)][3, 0] == 0


@pytest.mark.parametrize("h", [0.2, 1.0, 5.0])
def test_where_pool_and_known_inputs_are_the_whole_prior_the_reference_is_exact(store: Store, tmp_path: Path, h: float):
    reference(tmp_path / "reference", store, [LAST])
    known_inputs(tmp_path / "reference", store, [LAST], ToyTask())
    known = read_known(tmp_path)
    assert known is not None
    (distances, beside) = (
        load_file(tmp_path / path)[str(LAST)]
        for path in (records.collect.DISTANCES.path, records.collect.KNOWN_DISTANCES.path)
    )
    stratum = Known(beside, known)
    around = SitePool.of(distances, store.inputs("pool").probability, False, [h], Kernel.GAUSSIAN, stratum)
    inputs = pq.read_table(tmp_path / records.collect.INPUTS.path)
    samples = pa.table({"label.last": pa.array([], pa.string())})
    (feature,) = read_features(inputs, samples, store.inputs("pool").probability, known=known)
    weighted = next(iter(from_pool(LAST, around, [feature])))
    share = (weighted.weights * (weighted.labels["last"] == feature.targets[:, None])).sum()
    # The store's units are those of its pool, not of the prior: the exact posterior in the same units.
    read_again = (torch.tensor([read(x)[LAST] for x in part]) for part in (INPUTS, splits()["target"]))
    apart = store.distance(LAST).between(*read_again).numpy()
    exact = Kernel.GAUSSIAN.posterior(apart.T.astype(float), h, np.log(list(PRIOR.values())))[0]
    prior = np.array(list(PRIOR.values()))
    own = np.array([ToyTask().labels(x)["last"] == "three" for x in INPUTS])
    decided = np.array([ToyTask().labels(x)["last"] is not None for x in INPUTS])
    assert share == pytest.approx(exact[own].sum())
    assert feature.prior.chance(feature.targets)[0] == pytest.approx(prior[own].sum() / prior[decided].sum())


def test_without_probabilities_or_beside_the_whole_prior_there_are_none(store: Store, tmp_path: Path):
    for task in (Unknown(), UnknownInPool()):
        known_inputs(tmp_path / "reference", store, [LAST], task)
        assert read_known(tmp_path) is None
    whole = write_store(tmp_path / "whole", splits() | {"pool": INPUTS}, read, ToyTask().labels, PRIOR)
    known_inputs(tmp_path / "reference", whole, [LAST], ToyTask())
    assert read_known(tmp_path) is None


def test_known_inputs_have_their_place_in_the_table():
    inputs = pa.table({"split": ["train", "pool", "train", "target"], "row": [0, 0, 1, 0]})
    assert KnownInputs([("target", 0), ("train", 1)], np.array([0.1, 0.2]), np.array([0.7])).places(inputs) == [3, 2]
