"""Untrained generator, with everything fitted that has a closed form, and its training data.

Dimensions: `n` inputs of the train split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inversescope.collect.bandwidths import at_sites
from inversescope.collect.store import OpenRun, Store
from inversescope.config import GeneratorConfig, TrainConfig
from inversescope.generator import Generator, InputPCA, Vocabulary
from inversescope.sites import Site
from inversescope.streams import TorchStream
from inversescope.tasks import Task
from inversescope.train.bandwidth_range import bandwidth_range
from inversescope.train.emulator import Emulator
from inversescope.train.pairs import TrainingPairs, stored_activations
from inversescope.train.trainer import TrainingData
from inversescope.train.training_inputs import TrainingInputs, training_inputs
from inversescope.units import Units


def of_run(run: OpenRun) -> TrainingData:
    """Training data of a run's generator, untrained; the same bits in every process with as many threads."""
    config = run.config
    prior = run.task if config.train.emulate else None
    return prepare(run.store, run.sites["train"], config.generator, config.train, run.seed, at_sites(run.levels), prior)


def prepare(
    store: Store,
    sites: Sequence[Site],
    shape: GeneratorConfig,
    config: TrainConfig,
    seed: int,
    sampled: Mapping[Site, Sequence[float]],
    prior: Task | None = None,
) -> TrainingData:
    """Untrained generator, with everything fitted that has a closed form, and its training data."""
    known = store.inputs("train")
    vocabulary, inputs = training_inputs(known, prior, shape.stored, seed)
    torch.manual_seed(TorchStream.WEIGHTS.seed(seed))
    units = {site: store.channel(site).units for site in sites}
    read = {site: store.activations("train", site) for site in sites}
    emulator = _emulator(inputs, read, units) if len(inputs.others) and not known.exact else None
    bandwidths = {site: _range(store, site, config, seed, sampled) for site in sites}
    dimensions = {site: activations.shape[1] for site, activations in read.items()}
    rows = inputs.rows[: inputs.stored]
    generator, pca = untrained(rows, vocabulary, dimensions, bandwidths, len(rows), shape)
    pairs = [TrainingPairs(generator, site, inputs, read[site], units[site], emulator) for site in sites]
    log_prior = {site.site: site.log_prior for site in pairs}
    generator.fit(stored_activations(pairs), units, pca, log_prior)
    rng = torch.Generator().manual_seed(TorchStream.EXPLAINED.seed(seed))
    return TrainingData(generator, pairs, inputs.rows, [site.explained_variance(pca.components, rng) for site in pairs])


def _emulator(
    inputs: TrainingInputs, read: Mapping[Site, Float[Tensor, "read _"]], units: Mapping[Site, Units]
) -> Emulator:
    """Emulator fitted to the distinct inputs that were read, in random order."""
    order = torch.randperm(len(inputs.read))
    distinct, inverse = inputs.read[order].unique(return_inverse=True)
    first = torch.full((len(distinct),), len(order)).scatter_reduce_(0, inverse, torch.arange(len(order)), "amin")
    chosen = order[first.sort().values]
    return Emulator.of(inputs.rows[inputs.read[chosen]], {site: each[chosen] for site, each in read.items()}, units)


def untrained(
    rows: Int[Tensor, "n positions"],
    vocabulary: Vocabulary,
    dimensions: Mapping[Site, int],
    bandwidths: Mapping[Site, tuple[float, float]],
    stored: int,
    shape: GeneratorConfig,
    device: torch.device | None = None,
) -> tuple[Generator, InputPCA]:
    """Untrained generator, and the principal components of its training inputs (rows of the vocabulary).

    Args:
        stored: number of inputs whose activations it stores.
        device: where it is made; on "meta" it has its shapes and takes no memory. None: torch's default.
    """
    pca = InputPCA.of(rows, shape.width)
    with device or nullcontext():
        generator = Generator(
            vocabulary,
            rows.shape[1],
            dimensions,
            bandwidths,
            stored=stored,
            indicators=pca.sizes,
            encoder=shape.encoder,
            conditioning=shape.conditioning,
            decoder=(shape.width, shape.layers, shape.heads),
        )
    return generator, pca


def _range(
    store: Store, site: Site, config: TrainConfig, seed: int, sampled: Mapping[Site, Sequence[float]]
) -> tuple[float, float]:
    """Lowest and highest bandwidth that a site is trained for: that of the config or of the pool, with all sampled."""
    found = bandwidth_range(store, site, seed) if config.bandwidths == "range" else config.bandwidths
    ends = (*found, *sampled.get(site, ()))
    return min(ends), max(ends)
