"""The arena's sparse autoencoder beside that of the library `dictionary-learning` (TopK), on the activations of a run.

    pip install --no-deps dictionary-learning
    python benchmarks/autoencoder.py runs/demo resid_post.26 [resid_post.8 ...]

Two questions. Is it the same function? Our trained weights are put into the library's class; the largest difference of
a latent and of a reconstruction on the held-out inputs is printed. Does it train as well? Both have as many latents, as
many of them active, and the same inputs; the same tenth is held out. The library's is trained for as many steps of the
same batch, at its own learning rate and at ours. Columns: share of the held-out inputs' variance that is explained;
share of the latents that fire on no held-out input; and how alike the latents are to ours: largest cosine of each
decoder direction with ours, mean over directions, weighted by how often they fire. Two seeds of ours are beside it.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from dictionary_learning.trainers.top_k import AutoEncoderTopK, TopKTrainer  # pyright: ignore[reportMissingImports]
from rich.console import Console
from rich.table import Table
from torch import Tensor

from inversescope.arena.autoencoder import BATCH, EXPANSION, HELD, RATE, Autoencoder, trained
from inversescope.run.run import Run
from inversescope.sites import Site


def library(x: Tensor, active: int, steps: int, rate: float | None, seed: int) -> AutoEncoderTopK:
    """The library's autoencoder after so many steps."""
    width = x.shape[1]
    trainer = TopKTrainer(
        steps=steps, activation_dim=width, dict_size=EXPANSION * width, k=active, layer=0, lm_name="", seed=seed,
        device="cpu", lr=rate, warmup_steps=min(100, steps // 10), decay_start=max(1, steps * 4 // 5),
    )  # fmt: skip
    rng, step = torch.Generator().manual_seed(seed), 0
    while step < steps:
        for batch in torch.randperm(len(x), generator=rng).split(BATCH):
            trainer.update(step, x[batch])
            step += 1
            if step == steps:
                break
    return trainer.ae


def split(x: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """The inputs that `trained` holds out with this seed, and the rest."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    return x[order[: round(HELD * len(x))]], x[order[round(HELD * len(x)) :]]


def in_library(ours: Autoencoder) -> AutoEncoderTopK:
    """The library's class with our weights."""
    latents, width = ours.encoder.shape
    theirs = AutoEncoderTopK(width, latents, ours.active)
    weights = {
        "encoder.weight": ours.encoder, "encoder.bias": ours.shift, "decoder.weight": ours.decoder.T,
        "b_dec": ours.bias, "k": theirs.k, "threshold": theirs.threshold,
    }  # fmt: skip
    theirs.load_state_dict({name: value.detach() for name, value in weights.items()})
    return theirs


@torch.no_grad()
def same_function(ours: Autoencoder, x: Tensor) -> tuple[float, float]:
    """Largest difference of a latent and of a reconstruction between ours and the library's with our weights."""
    theirs = in_library(ours)
    one, other = ours.encode(x), theirs.encode(x)
    return float((one - other).abs().max()), float((ours.decode(one) - theirs.decode(other)).abs().max())


@torch.no_grad()
def measured(decoder: Tensor, latents: Tensor, decoded: Tensor, x: Tensor, other: Tensor) -> list[str]:
    """Variance explained, silent latents, and likeness of the directions to another decoder's."""
    explained = 1 - float((x - decoded).square().sum() / (x - x.mean(0)).square().sum())
    fired = (latents > 0).float().mean(0)
    cosines = (F.normalize(decoder, dim=1) @ F.normalize(other, dim=1).T).max(1).values
    alike = float((cosines * fired).sum() / fired.sum())
    return [f"{explained:.3f}", f"{float((fired == 0).float().mean()):.2f}", f"{alike:.2f}"]


def main() -> None:
    run, sites = Run.open(Path(sys.argv[1])), [Site.parse(site) for site in sys.argv[2:]]
    table = Table("site", "autoencoder", "explained", "silent", "like ours", "steps", "seconds")
    console = Console(width=120)
    for site in sites:
        x = run.store.units(site).standardize(run.store.activations("train", site))
        first: Autoencoder | None = None
        (held, rest), steps = split(x, 0), 0
        for seed in (0, 1):
            started = time.process_time()
            ours, ended = trained(x, torch.Generator().manual_seed(seed), float("inf"))
            seconds = time.process_time() - started
            if first is None:
                first, steps = ours, ended.steps
                latent, rebuilt = same_function(ours, held)
                console.print(f"{site}: our weights in the library's class: {latent:.1e} latents, {rebuilt:.1e} inputs")
            own = split(x, seed)[0]
            latents = ours.encode(own)
            row = measured(ours.decoder, latents, ours.decode(latents), own, first.decoder)
            table.add_row(str(site), f"ours, seed {seed}", *row, str(ended.steps), f"{seconds:.0f}")
        assert first is not None
        scaled = RATE / (len(first.encoder) / 2**14) ** 0.5
        for name, rate in (("the library's", None), ("the library's, our rate", scaled)):
            started = time.process_time()
            theirs = library(rest, first.active, steps, rate, 0)
            seconds = time.process_time() - started
            row = measured(theirs.decoder.weight.T, theirs.encode(held), theirs(held), held, first.decoder)
            table.add_row(str(site), name, *row, str(steps), f"{seconds:.0f}")
    console.print(table)


if __name__ == "__main__":
    main()
