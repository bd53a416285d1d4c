"""Train on a run's activations with other settings, and say how far the draws are from the reference.

    python benchmarks/training.py runs/demo steps=500 batch=160 learning_rate=0.006

The run's steps up to `reference` must be done. Nothing is written into it. No sample is verified: the calibration gap
compares the draws as they come.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from safetensors.numpy import load_file

from inversescope.pipeline import Run
from inversescope.sample import draw
from inversescope.sites import Site
from inversescope.train import train
from inversescope.weights import effective_sample_size, log_kernel, normalise

TRUSTED = 30  # effective sample size from which the reference is compared with


def main() -> None:
    run = Run.open(sys.argv[1])
    wanted = dict(setting.split("=") for setting in sys.argv[2:])
    config = type(run.config.train).model_validate(run.config.train.model_dump() | wanted)
    sites = run.sites["train"]
    console = Console()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, console.status("training"):
        generator = train(
            Path(folder),
            run.store,
            sites,
            run.config.generator,
            config,
            run.config.seed,
            run.subject.device,
            lambda state: None,
        ).eval()
    seconds = time.monotonic() - started
    distances = load_file(run.folder / "reference" / "distances.safetensors")
    table = Table("site", "h", "reference ESS", *run.task.features)
    worst = 0.0
    for site in sites:
        for h in run.config.sample.bandwidths:
            weights = normalise(log_kernel(distances[str(site)].T.astype(float), h))
            size = float(np.median(effective_sample_size(weights)))
            if size >= TRUSTED:
                gaps = _gaps(run, generator, site, h, weights)
                worst = max([worst, *map(abs, gaps)])
                table.add_row(str(site), f"{h:g}", f"{size:.0f}", *(f"{gap:+.3f}" for gap in gaps))
    console.print(table)
    console.print(f"{config.steps} steps in {seconds:.0f} s; largest gap {worst:.3f}")


def _gaps(run: Run, generator, site: Site, h: float, weights: np.ndarray) -> list[float]:
    """Mean over targets of the draws' consistency minus the reference's, for each feature."""
    samples = run.config.sample.samples
    rng = torch.Generator(run.subject.device).manual_seed(run.config.seed)
    drawn, _ = draw(generator, site, run.store.activations("target", site), h, samples, rng)
    read = [None if tokens is None else run.task.labels(tokens) for tokens in drawn]
    targets, pool = run.store.inputs("target").labels, run.store.inputs("pool").labels
    gaps = []
    for feature in run.task.features:
        own = np.array(targets[feature])
        mine = np.array([None if labels is None else labels[feature] for labels in read]).reshape(len(own), samples)
        theirs = np.array(pool[feature])
        known = (weights * (theirs[None] == own[:, None])).sum(1)
        gaps.append(float(((mine == own[:, None]).mean(1) - known).mean()))
    return gaps


if __name__ == "__main__":
    main()
