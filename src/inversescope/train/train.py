"""Training of the generator: next-token loss on noised activations.

Dimensions: `n` inputs of the train split.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import MappingProxyType

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inversescope.collect.bandwidths import at_sites
from inversescope.collect.store import OpenRun, Store
from inversescope.config import GeneratorConfig, TrainConfig
from inversescope.generator import Generator, InputPCA, Vocabulary
from inversescope.progress import Progress
from inversescope.sites import Site
from inversescope.streams import TorchStream
from inversescope.subject.capture import enough_memory
from inversescope.tasks import Task
from inversescope.train.bandwidth_range import bandwidth_range
from inversescope.train.checkpoint import delete_checkpoints, save_checkpoint, save_generator
from inversescope.train.emulator import Emulator
from inversescope.train.pairs import TrainingPairs, stored_activations
from inversescope.train.trainer import Check, Trainer, TrainingData
from inversescope.train.training_inputs import TrainingInputs, training_inputs
from inversescope.units import Units

CHECKPOINT_STEPS = 100  # from one checkpoint to the next: what an interruption can cost


def train(
    folder: Path,
    store: Store,
    sites: Sequence[Site],
    shape: GeneratorConfig,
    config: TrainConfig,
    seed: int,
    device: torch.device,
    progress: Progress,
    check: Check | None = None,
    sampled: Mapping[Site, Sequence[float]] = MappingProxyType({}),
    prior: Task | None = None,
) -> Generator:
    """Train a generator for these sites, from the last checkpoint if there is one, and save it.

    Training ends when the check finds every site calibrated, after `config.steps` at the latest; each check sets the
    sites' training weights to their errors. The random numbers of a step depend on the seed and the step alone, so a
    resumed training has the losses of an uninterrupted one.

    Args:
        check: run every `config.check` steps; None: never.
        sampled: bandwidths that the range of each site must include.
        prior: gives inputs that were not read, to be trained on with predicted activations; None: no others.

    Raises:
        UserError: the loss is not a finite number.
    """
    data = prepare(store, sites, shape, config, seed, sampled, prior)
    trainer = Trainer(data, config, seed, device)
    trainer.load(folder)
    started, tokens = time.monotonic(), 0
    while not trainer.ended:
        tokens += trainer.step()
        if check is not None and trainer.done % config.check == 0 and not trainer.ended:
            trainer.run_check(check)
        if trainer.done % CHECKPOINT_STEPS == 0 and not trainer.ended:
            save_checkpoint(folder, trainer.state())
        speed = tokens / (time.monotonic() - started)
        progress(trainer.done, trainer.last, _note(trainer, speed))
    generator = trainer.finished()
    save_generator(folder, generator, trainer.losses)
    return generator


def _note(trainer: Trainer, speed: float) -> str:
    calibrated, sites = trainer.calibrated, len(trainer.pairs)
    checked = "" if calibrated is None else f", {calibrated} of {sites} sites calibrated"
    return f"loss {trainer.losses[-1]:.2f} nats, {speed:,.0f} tokens/s{checked}"


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


def step(run: OpenRun, folder: Path, progress: Progress, check: Check) -> None:
    """The step `train`; its checkpoints are deleted at the end."""
    config = run.config
    with enough_memory("training", f"train.batch = {config.train.batch}", "a smaller batch (train.batch)"):
        train(
            folder,
            run.store,
            run.sites["train"],
            config.generator,
            config.train,
            run.seed,
            run.subject.device,
            progress,
            check,
            at_sites(run.levels),
            run.task if config.train.emulate else None,
        )
    delete_checkpoints(folder)
