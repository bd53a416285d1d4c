"""Divergence and acceptance over the activation's dimension, the generator's size, the training, the inputs.

    python benchmarks/scaling.py runs/enumerable 30      # seconds of training for each point; a quarter of an hour

The run must be collected with the whole prior as its pool. Each sweep changes one thing and leaves the others as the
run has them, on four of its sites; nothing is written into it. For the length of the inputs, sentences of the task one
after another are read afresh by the subject, cut at so many tokens: there the prior is the file of them.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from compare import accepted
from jaxtyping import Float
from rich.console import Console
from rich.table import Table
from settings import configured, divergences, trained
from torch import Tensor

from inversescope.collect.store import Store
from inversescope.config import RunConfig
from inversescope.run.run import Run
from inversescope.sites import Site
from inversescope.units import Units

DIMENSIONS = (8, 32, 128, 576)
WIDTHS = (32, 64, 128, 256)
STEPS = (50, 100, 200, 400)
LENGTHS = (8, 16, 32, 64, 128)
TEXTS = 300
SITES = 4
LIMIT = 0.3  # δ up to which a draw is accepted


def main() -> None:
    run, seconds = Run.open(sys.argv[1]), float(sys.argv[2])
    sites = [site for site in run.sites["train"] if site.head is None][1::2][:SITES]
    table = Table("", "", "KL", "worst", f"accepted at δ ≤ {LIMIT}", "of")
    console = Console(width=110)

    def point(
        sweep: str, value: int, run: Run, config: RunConfig, sites: Sequence[Site], seconds: float | None
    ) -> None:
        generator, _, _ = trained(run, config, sites, seconds)
        found = np.array(list(divergences(run, generator).values()))
        near = accepted(run, generator, LIMIT)
        cells = f"{found.mean():.3f}", f"{found.max():.2f}", f"{near.found.mean():.1f}", f"{near.possible.mean():.1f}"
        table.add_row(sweep, str(value), *cells)
        Console(stderr=True).print(sweep, value, *cells)

    few = configured(run.config, [f"train.sites_per_step={SITES}"])
    for dimension in DIMENSIONS:
        point("coordinates", dimension, _projected(run, dimension), few, sites, seconds)
    for width in WIDTHS:
        point("width", width, run, configured(few, [f"generator.width={width}"]), sites, seconds)
    for steps in STEPS:
        examples = steps * few.train.batch
        point("training examples", examples, run, configured(few, [f"train.steps={steps}"]), sites, None)
    with tempfile.TemporaryDirectory() as folder:
        for length in LENGTHS:
            other = _texts(run, Path(folder), length, sites)
            point("tokens of an input", length, other, configured(other.config, []), other.sites["train"], seconds)
    console.print(table)


def _projected(run: Run, dimension: int) -> Run:
    """The run, its activations standardized and projected on so many random directions."""
    other = Run(run.folder, run.config, run.made_by)
    other.__dict__ |= {"store": _Projected(run.store.folder, dimension), "subject": run.subject, "task": run.task}
    return other


class _Projected(Store):
    """A store whose activations are projections on random directions."""

    def __init__(self, folder: Path, dimension: int):
        super().__init__(folder)
        self.dimension = dimension

    def activations(  # pyright: ignore[reportIncompatibleVariableOverride] - not cached
        self, split: str, site: Site
    ) -> Float[Tensor, "n d"]:
        read = super().units(site).standardize(super().activations(split, site))
        rng = torch.Generator().manual_seed(self.dimension)
        directions, _ = torch.linalg.qr(torch.randn(read.shape[1], self.dimension, generator=rng))
        return read @ directions

    def units(self, site: Site) -> Units:
        probability = self.inputs("pool").probability
        return Units.of(self.activations("pool", site), torch.tensor(probability))


def _texts(run: Run, folder: Path, length: int, sites: Sequence[Site]) -> Run:
    """A collected run of texts of so many tokens: sentences of the task, one after another."""
    rng, subject = np.random.default_rng(0), run.subject
    texts: dict[tuple[int, ...], str] = {}
    while len(texts) < TEXTS:
        text = " ".join(subject.decode(tokens) + " someone." for tokens in run.task.draw(length // 12 + 2, rng))
        texts.setdefault(tuple(subject.encode(text)[: len(subject.prefix) + length]), text)
    file = folder / f"texts-{length}.txt"
    file.write_text("\n".join(texts.values()), encoding="utf-8")
    names = ", ".join(f'"{site}"' for site in sites)
    config = f"""
[subject]
model = "{run.config.subject.model}"
[task]
name = "texts"
path = "{file}"
max_tokens = {length}
[collect]
sites = [{names}]
train = "all"
pool = "all"
targets = 8
[generator]
sites = [{names}]
[train]
sites_per_step = {SITES}
clean = {run.config.train.clean}
[sample]
bandwidths = [0.3]
"""
    made = Run.create(folder / str(length), config)
    for step in ("task", "collect"):
        made.do(step)
    return made


if __name__ == "__main__":
    main()
