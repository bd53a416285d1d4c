"""Training, in an enumerable world: the generator becomes the posterior, and is a function of data and seed alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from toy_world import COUNTS, INPUTS, LAST, PRIOR, ToyTask, posterior, read, rows, write_store

from inversescope import files
from inversescope.collect.store import Store
from inversescope.config import GeneratorConfig, TrainConfig
from inversescope.generator import Generator
from inversescope.sites import Site
from inversescope.train.checkpoint import CHECKPOINT, load_generator
from inversescope.train.prepare import prepare
from inversescope.train.train import train
from inversescope.train.trainer import Compute, PartGradient, Trainer, here

SITES = (COUNTS, LAST)
SHAPE = GeneratorConfig(sites=("resid_post.*",), width=32, layers=1, heads=2)
BANDWIDTHS = (0.05, 1.0)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    splits = {"train": 10 * rows(), "pool": rows(), "target": INPUTS}
    return write_store(tmp_path_factory.mktemp("collect"), splits, read, ToyTask().labels)


def trained_on(clean: float, store: Store, folder: Path) -> Generator:
    """A generator trained with this share of clean queries."""
    config = TrainConfig(
        steps=200, batch=128, learning_rate=1e-2, bandwidths=BANDWIDTHS, clean=clean, unconditional=0.2
    )
    train(folder, store, SITES, SHAPE, config, 0, CPU, lambda done, total, note="": None)
    return load_generator(folder, CPU)


@pytest.fixture(scope="module")
def by_noise(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Generator:
    return trained_on(0, store, tmp_path_factory.mktemp("noise"))


@pytest.fixture(scope="module")
def by_neighbours(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Generator:
    return trained_on(1, store, tmp_path_factory.mktemp("neighbours"))


def log_q(generator: Generator, condition: torch.Tensor) -> np.ndarray:
    """ln q of each of the eight inputs under each condition."""
    rows_of_inputs = generator.vocabulary.encode(INPUTS).repeat(len(condition), 1)
    with torch.no_grad():
        nats = generator.nats(rows_of_inputs, condition.repeat_interleave(len(INPUTS), 0))
    return -nats.double().numpy().reshape(len(condition), -1)


def divergence(exact: np.ndarray, log_q: np.ndarray) -> float:
    """KL from the exact distribution to the generator's, nats, mean over conditions; mass outside the prior counts."""
    logs = np.log(exact, out=np.zeros_like(exact), where=exact > 0)
    return float((exact * (logs - log_q)).sum(-1).mean())


def assert_is_posterior(generator: Generator, site: Site, queries: torch.Tensor, bandwidth: float) -> None:
    with torch.no_grad():
        found = log_q(generator, generator.condition(site, queries, torch.full((len(queries),), bandwidth)))
    exact = np.array([posterior(z, site, bandwidth) for z in queries.double().numpy()])
    assert divergence(exact, found) < 0.1
    assert divergence(np.tile(list(PRIOR.values()), (len(queries), 1)), found) > 0.2  # the prior is another one


everywhere = pytest.mark.parametrize(
    ("site", "bandwidth"), [(site, h) for site in SITES for h in (0.05, 0.2, 0.5, 1.0)]
)


@everywhere
def test_noisy_queries_alone_give_the_exact_posterior(by_noise: Generator, store: Store, site: Site, bandwidth: float):
    clean, units = store.activations("target", site).repeat(50, 1), store.units(site)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1)) * units.deviation
    assert_is_posterior(by_noise, site, clean + bandwidth * units.dimension**0.5 * noise, bandwidth)
    assert_is_posterior(by_noise, site, clean[: len(INPUTS)], bandwidth)


@everywhere
def test_clean_queries_alone_give_the_exact_posterior(
    by_neighbours: Generator, store: Store, site: Site, bandwidth: float
):
    assert_is_posterior(by_neighbours, site, store.activations("target", site), bandwidth)


def test_inputs_with_the_same_activation_are_both_found(by_noise: Generator):
    z, h = torch.tensor([read((0, 3, 4))[COUNTS]]), torch.tensor([0.05])
    with torch.no_grad():
        q = np.exp(log_q(by_noise, by_noise.condition(COUNTS, z, h)))[0]
    assert q[[INPUTS.index((0, 3, 4)), INPUTS.index((0, 4, 3))]] == pytest.approx([0.5, 0.5], abs=0.1)


def test_without_a_condition_the_generator_is_the_prior(by_noise: Generator):
    with torch.no_grad():
        found = log_q(by_noise, by_noise.no_condition(1))
    assert divergence(np.array([list(PRIOR.values())]), found) < 0.05


@pytest.mark.parametrize("whole", [True, False])
def test_pairs_share_a_condition_only_where_the_posterior_is_known(whole: bool, store: Store, tmp_path: Path):
    if whole:
        splits = {"pool": list(PRIOR), "target": INPUTS}
        store = write_store(tmp_path, splits, read, ToyTask().labels, PRIOR)
    config = TrainConfig(batch=32, sites_per_step=1, bandwidths=BANDWIDTHS, inputs_per_condition=4, unconditional=0)
    trainer = Trainer(prepare(store, SITES, SHAPE, config, 0, {}), config, 0, CPU)
    assert [pairs.exact for pairs in trainer.pairs] == [whole, whole]
    condition, inputs = trainer._batch(torch.Generator().manual_seed(0))
    assert (len(condition), len(inputs)) == (8 if whole else 32, 32)


SHORT = TrainConfig(steps=24, batch=32, sites_per_step=1, bandwidths=BANDWIDTHS, clean=0.8)


def once(folder: Path, store: Store, seed: int = 0, stop_after: int | None = None) -> list[int]:
    """Train shortly; the steps done. With `stop_after`, interrupted after that step as by a kill."""
    reported = []

    def watch(done: int, total: int, note: str = "") -> None:
        reported.append(done)
        assert total == SHORT.steps and "nats" in note
        if done == stop_after:
            raise KeyboardInterrupt

    train(folder, store, SITES, SHAPE, SHORT, seed, CPU, watch)
    return reported


def test_a_resumed_training_has_the_losses_and_weights_of_an_uninterrupted_one(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("inversescope.train.train.CHECKPOINT_STEPS", 10)
    assert once(tmp_path / "one", store) == list(range(1, 25))
    for stop in (5, 17, 22):  # before the first checkpoint, after it, after the second
        with pytest.raises(KeyboardInterrupt):
            once(tmp_path / "two", store, stop_after=stop)
        assert (tmp_path / "two" / CHECKPOINT).exists() == (stop > 5)
    assert once(tmp_path / "two", store) == list(range(21, 25))
    for file in ("generator.safetensors", "generator.json", "losses.parquet"):
        assert files.sha256(tmp_path / "one" / file) == files.sha256(tmp_path / "two" / file)


def test_the_seed_alone_decides_a_training(store: Store, tmp_path: Path):
    losses = []
    for name, ambient, seed in (("one", 1, 0), ("two", 2, 0), ("three", 2, 1)):
        torch.manual_seed(ambient)
        once(tmp_path / name, store, seed)
        losses.append(pq.read_table(tmp_path / name / "losses.parquet").column(1).to_pylist())
    assert losses[0] == losses[1] and not set(losses[0]) & set(losses[2])


def test_the_weights_do_not_depend_on_who_computes_the_parts(store: Store):
    config = TrainConfig(steps=6, batch=64, parts=4, sites_per_step=4, bandwidths=BANDWIDTHS, clean=0.8)

    def weights(compute: Compute) -> dict[str, torch.Tensor]:
        trainer = Trainer(prepare(store, SITES, SHAPE, config, 0, {}), config, 0, CPU, compute)
        for _ in range(3):
            assert trainer.step() > 0
        return {name: weight.detach().clone() for name, weight in trainer.generator.named_parameters()}

    def in_another_order(trainer: Trainer) -> list[PartGradient]:
        computed = {part: trainer.gradient(part) for part in (2, 0, 3, 1)}
        return [computed[part] for part in range(4)]

    def without_the_last(trainer: Trainer) -> list[PartGradient]:
        return [trainer.gradient(part) for part in (0, 1, 2, 2)]

    alone = weights(here)
    assert all(torch.equal(weight, alone[name]) for name, weight in weights(in_another_order).items())
    assert not all(torch.equal(weight, alone[name]) for name, weight in weights(without_the_last).items())


def test_a_part_is_its_share_of_the_batch(store: Store):
    config = TrainConfig(batch=64, parts=4, sites_per_step=4, bandwidths=BANDWIDTHS)
    trainer = Trainer(prepare(store, SITES, SHAPE, config, 0, {}), config, 0, CPU)
    assert [part.pairs for part in here(trainer)] == [16] * 4
    with pytest.raises(ValueError, match="parts"):
        TrainConfig(batch=4, parts=5)
