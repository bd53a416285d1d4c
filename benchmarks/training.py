"""Train on a run's activations with other settings, and say how far the draws are from the reference.

    python benchmarks/training.py runs/demo train.steps=500 train.batch=160 generator.width=96 seed=1

Inputs of the pool stand in for the targets, each compared with the rest of the pool, so that settings are not chosen on
the targets that a report is about. The run must have been collected; nothing is written into it. No sample is verified:
the calibration gap compares the draws as they come.
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
from scipy import stats

from inversescope.collect import Store
from inversescope.generator import Generator
from inversescope.pipeline import Run
from inversescope.sample import draw
from inversescope.sites import Site
from inversescope.tasks import Task
from inversescope.train import train
from inversescope.weights import effective_sample_size, log_kernel, normalise

TRUSTED = 30  # effective sample size from which the reference is compared with
TARGETS = 120
SAMPLES = 16
CONFIDENCE = 0.95


def main() -> None:
    run = Run.open(sys.argv[1])
    config = run.config.model_dump()
    for setting in sys.argv[2:]:
        path, value = setting.split("=")
        *sections, name = path.split(".")
        section = config
        for step in sections:
            section = section[step]
        section[name] = value.split(",") if isinstance(section[name], list | tuple) else value
    config = type(run.config).model_validate(config)
    sites = run.subject.sites(config.generator.sites)
    console = Console(width=150)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, console.status("training"):
        generator = train(
            Path(folder),
            run.store,
            sites,
            config.generator,
            config.train,
            config.seed,
            torch.device("cpu"),
            lambda state: None,
            run.subject,
        ).eval()
    seconds = time.monotonic() - started
    table = Table("site", "h", "reference ESS", *run.task.features)
    found = []
    for site in sites:
        for h in config.sample.bandwidths:
            size, gaps = _gaps(run.store, run.task, generator, site, h)
            if size >= TRUSTED:
                found.append(gaps)
                width = stats.t.ppf((1 + CONFIDENCE) / 2, TARGETS - 1) * gaps.std(1, ddof=1) / TARGETS**0.5
                cells = (f"{gap:+.3f} ±{half:.3f}" for gap, half in zip(gaps.mean(1), width, strict=True))
                table.add_row(str(site), f"{h:g}", f"{size:.0f}", *cells)
    console.print(table)
    size = np.abs(np.array(found).mean(2))
    console.print(f"{' '.join(sys.argv[2:])}: {config.train.steps} steps in {seconds:.0f} s")
    console.print(f"gaps: largest {size.max():.3f}, mean {size.mean():.4f}")


def _gaps(store: Store, task: Task, generator: Generator, site: Site, h: float) -> tuple[float, np.ndarray]:
    """The reference's median effective sample size; draws' consistency minus the reference's [features, targets]."""
    activations, pool = store.activations("pool", site), store.inputs("pool")
    targets = np.random.default_rng(0).permutation(len(pool))[:TARGETS]
    distances = store.spread(site).distances(activations, activations[targets]).T.double().numpy()
    same = np.array([[pool.tokens[target] == tokens for tokens in pool.tokens] for target in targets])
    weights = normalise(log_kernel(np.where(same, np.inf, distances), h))
    rng = torch.Generator().manual_seed(0)
    drawn, _ = draw(generator, site, activations[torch.from_numpy(targets)], h, SAMPLES, rng)
    read = [None if tokens is None else task.labels(tokens) for tokens in drawn]
    gaps = []
    for feature in task.features:
        theirs = np.array(pool.labels[feature])
        own = theirs[targets, None]
        mine = np.array([None if labels is None else labels[feature] for labels in read]).reshape(TARGETS, SAMPLES)
        gaps.append((mine == own).mean(1) - (weights * (theirs[None] == own)).sum(1))
    return float(np.median(effective_sample_size(weights))), np.array(gaps)


if __name__ == "__main__":
    main()
