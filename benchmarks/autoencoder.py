"""The arena's sparse autoencoder beside that of the library `dictionary-learning` (TopK), on the activations of a run.

    pip install --no-deps dictionary-learning
    python benchmarks/autoencoder.py runs/demo resid_post.26 [resid_post.8 ...]

Both have as many latents, as many of them active, and the same inputs; the same tenth is held out. The library's is
trained for as many steps of the same batch, by its own optimizer and learning rate. Share of the held-out inputs'
variance that each explains.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from dictionary_learning.trainers.top_k import AutoEncoderTopK, TopKTrainer  # pyright: ignore[reportMissingImports]
from rich.console import Console
from rich.table import Table
from torch import Tensor

from inversescope.arena.autoencoder import BATCH, EXPANSION, HELD, trained
from inversescope.run.run import Run
from inversescope.sites import Site


def library(x: Tensor, active: int, steps: int, seed: int) -> AutoEncoderTopK:
    """The library's autoencoder after so many steps."""
    width = x.shape[1]
    trainer = TopKTrainer(
        steps=steps, activation_dim=width, dict_size=EXPANSION * width, k=active, layer=0, lm_name="", seed=seed,
        device="cpu", warmup_steps=min(100, steps // 10), decay_start=max(1, steps * 4 // 5),
    )  # fmt: skip
    rng, step = torch.Generator().manual_seed(seed), 0
    while step < steps:
        for batch in torch.randperm(len(x), generator=rng).split(BATCH):
            trainer.update(step, x[batch])
            step += 1
            if step == steps:
                break
    return trainer.ae


@torch.no_grad()
def explained(decoded: Tensor, x: Tensor) -> float:
    return 1 - float((x - decoded).square().sum() / (x - x.mean(0)).square().sum())


def main() -> None:
    run, sites = Run.open(Path(sys.argv[1])), [Site.parse(site) for site in sys.argv[2:]]
    table = Table("site", "ours", "the library's", "steps", "seconds", "seconds of the library")
    for site in sites:
        x = run.store.units(site).standardize(run.store.activations("train", site))
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))  # that of `trained`
        held, rest = x[order[: round(HELD * len(x))]], x[order[round(HELD * len(x)) :]]
        started = time.monotonic()
        ours, ended = trained(x, torch.Generator().manual_seed(0), float("inf"))
        between = time.monotonic()
        theirs = library(rest, ours.active, ended.steps, 0)
        both = explained(ours.decode(ours.encode(held)), held), explained(theirs(held), held)
        seconds = f"{between - started:.0f}", f"{time.monotonic() - between:.0f}"
        table.add_row(str(site), *(f"{share:.3f}" for share in both), str(ended.steps), *seconds)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
