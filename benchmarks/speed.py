"""Speed of the generator in training and drawing, beside its own decoder without conditions, and InversionView's.

    python benchmarks/speed.py runs/enumerable [generator.width=256 ...]

The bare decoder is the same with the same optimizers, trained on the inputs alone: what a condition costs is
the rest. All are timed in turn, round by round, so that a busy machine slows all of them; medians of the rounds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from compare import CHOICES
from rich.console import Console
from rich.table import Table
from settings import configured

from inversescope.config import RunConfig
from inversescope.generator.conditioning import Conditioning
from inversescope.run.run import Run
from inversescope.sample.sample import draw_from
from inversescope.train.prepare import prepare
from inversescope.train.trainer import Trainer

ROUNDS = 7
STEPS = 4  # of training, in a round
DRAWS = 2048  # in a round, for 32 targets
TARGETS = 32


class BareTrainer(Trainer):
    """Every step without conditions."""

    def _batch(self, rng: torch.Generator):
        inputs = self.pairs[0].draw_prior(self.config.batch, rng)
        return self.generator.no_condition(self.config.batch), inputs


def main() -> None:
    run = Run.open(sys.argv[1])
    config = configured(run.config, sys.argv[2:])
    jobs: dict[str, dict[str, Callable[[], float]]] = {
        "bare decoder": _jobs(run, config, bare=True),
        "ours": _jobs(run, config),
        "InversionView's way": _jobs(run, configured(config, CHOICES["inversionview"])),
    }
    times = {name: {kind: [] for kind in each} for name, each in jobs.items()}
    for _ in range(ROUNDS):
        for name, each in jobs.items():
            for kind, job in each.items():
                started = time.monotonic()
                done = job()
                times[name][kind].append(done / (time.monotonic() - started))
    table = Table("", "training examples/s", "of bare", "draws/s", "of bare")
    bare = {kind: float(np.median(rates)) for kind, rates in times["bare decoder"].items()}
    for name, kinds in times.items():
        cells = []
        for kind, rates in kinds.items():
            rate = float(np.median(rates))
            cells += [f"{rate:.0f}", f"{rate / bare[kind]:.2f}"]
        table.add_row(name, *cells)
    Console(width=100).print(table)


def _jobs(run: Run, config: RunConfig, bare: bool = False) -> dict[str, Callable[[], float]]:
    """A round of training, and a round of drawing; each gives how many."""
    sites = run.subject.sites(config.generator.sites)
    if bare:  # without what the encoder "regression" adds to the logits
        config = configured(config, ["generator.encoder=residual"])
    data = prepare(run.store, sites, config.generator, config.train, config.seed, {})
    if bare:
        data.generator.conditioning = Conditioning(data.generator.decoder.shape)
    trainer = (BareTrainer if bare else Trainer)(data, config.train, config.seed, torch.device("cpu"))
    site, rng = sites[0], torch.Generator().manual_seed(0)
    asked = run.store.activations("target", site)[:TARGETS]

    def train() -> float:
        for _ in range(STEPS):
            trainer.step()
        return STEPS * config.train.batch

    def draw() -> float:
        generator = trainer.generator
        with torch.inference_mode():
            h = torch.full((len(asked),), generator.bandwidths[site][0])
            condition = generator.no_condition(len(asked)) if bare else generator.condition(site, asked, h)
            draw_from(generator, condition, DRAWS // len(asked), rng)
        return DRAWS

    return {"train": train, "draw": draw}


if __name__ == "__main__":
    main()
