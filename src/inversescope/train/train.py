"""Training of the generator: next-token loss on noised activations."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import torch

from inversescope.collect.bandwidths import at_sites
from inversescope.collect.store import OpenRun, Store
from inversescope.config import GeneratorConfig, TrainConfig
from inversescope.generator import Generator
from inversescope.progress import Progress
from inversescope.sites import Site
from inversescope.subject.capture import enough_memory
from inversescope.tasks import Task
from inversescope.train.checkpoint import delete_checkpoints, save_checkpoint, save_generator
from inversescope.train.prepare import prepare
from inversescope.train.trainer import Check, Compute, Trainer, here
from inversescope.train.workers import by

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
    compute: Compute = here,
) -> Generator:
    """Train a generator for these sites, from the last checkpoint if there is one, and save it.

    Training ends when the check finds every site calibrated, after `config.steps` at the latest; each check sets the
    sites' training weights to their errors. The random numbers of a step depend on the seed and the step alone, so a
    resumed training has the losses of an uninterrupted one.

    Args:
        check: run every `config.check` steps; None: never.
        sampled: bandwidths that the range of each site must include.
        prior: gives inputs that were not read, to be trained on with predicted activations; None: no others.
        compute: computes the parts of a step's gradient.

    Raises:
        UserError: the loss is not a finite number.
    """
    data = prepare(store, sites, shape, config, seed, sampled, prior)
    trainer = Trainer(data, config, seed, device, compute)
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


def step(run: OpenRun, folder: Path, progress: Progress, check: Check) -> None:
    """The step `train`; its checkpoints are deleted at the end."""
    config = run.config
    needed = "training", f"train.batch = {config.train.batch}", "a smaller batch (train.batch)"
    with enough_memory(*needed), by(run) as compute:
        train(
            folder,
            run.store,
            run.sites["train"],
            config.generator,
            config.train,
            run.seed,
            run.subject.device,
            progress,
            check=check,
            sampled=at_sites(run.levels),
            prior=run.task if config.train.emulate else None,
            compute=compute,
        )
    delete_checkpoints(folder)
