"""Distance of every feature's consistency from the exact one, as the draws come and after importance weighting.

    python benchmarks/weighting.py runs/enumerable [draws]

The run must be trained, and its pool the whole prior, so that weights need no subject and the exact answer is a sum.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from inversescope.collect.posterior import distances, stand_ins
from inversescope.run.run import Run
from inversescope.sample.sample import draw_from
from inversescope.stats.kernel import Kernel
from inversescope.stats.weights import importance_weights
from inversescope.train.checkpoint import load_generator

TARGETS = 32
BANDWIDTHS = 5


def main() -> None:
    run = Run.open(sys.argv[1])
    draws = int(sys.argv[2]) if len(sys.argv) > 2 else 512
    generator, store = load_generator(run.folder / "train", torch.device("cpu")), run.store
    pool, prior, targets = store.inputs("pool"), store.inputs("pool").log_prior, stand_ins(store, TARGETS, 31)
    place, rng = {tokens: i for i, tokens in enumerate(pool.tokens)}, torch.Generator().manual_seed(0)
    labels = {name: np.array(values) for name, values in pool.labels.items()}
    found = []
    for site in generator.sites:
        activations = store.activations("pool", site)[targets]
        near = distances(store, store.channel(site), site, targets, activations)
        for h in np.geomspace(*generator.bandwidths[site], BANDWIDTHS):
            with torch.inference_mode():
                condition = generator.condition(site, activations, torch.full((TARGETS,), float(h)))
            drawn, log_q = draw_from(generator, condition, draws, rng)
            at = np.array([place.get(tokens or (), -1) for tokens in drawn]).reshape(TARGETS, draws)
            logs = Kernel.GAUSSIAN.log_posterior(np.take_along_axis(near, at, 1), float(h), prior[at])
            logs = np.where(at >= 0, logs, -np.inf)
            q = np.array(log_q).reshape(TARGETS, draws)
            weights = np.array([importance_weights(*row)[0] for row in zip(logs, q, at.tolist(), strict=True)])
            exact = Kernel.GAUSSIAN.posterior(near, float(h), prior)
            found.append([_errors(values, targets, at, weights, exact) for values in labels.values()])
    errors = np.array(found)  # [question, feature, as they come or weighted]
    table = Table("feature", "as they come: largest", "mean", "weighted: largest", "mean")
    for feature, each in zip(labels, np.abs(errors).transpose(1, 2, 0), strict=True):
        table.add_row(feature, *(f"{value:.4f}" for row in each for value in (row.max(), row.mean())))
    console = Console(width=100)
    console.print(table)
    console.print(f"error of the mean consistency over {TARGETS} targets, {draws} draws each, {len(errors)} questions")


def _errors(
    values: np.ndarray, targets: list[int], at: np.ndarray, weights: np.ndarray, exact: np.ndarray
) -> tuple[float, float]:
    """Consistency less the exact one, mean over targets: of the draws as they come, and weighted."""
    own = values[targets][:, None]
    same = (values[at] == own) & (at >= 0)
    true = (exact * (values[None] == own)).sum(1)
    return float((same.mean(1) - true).mean()), float(((weights * same).sum(1) - true).mean())


if __name__ == "__main__":
    main()
