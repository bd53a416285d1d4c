"""Draw inputs from the generator for every target, site and level, and from its prior; and edit the targets.

Records: one Parquet file a site, one row a sample, as `records.sample.DRAWS` describes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from inversescope import files, records
from inversescope.cluster import Do, Unit, Worker, by, here, parts
from inversescope.collect.store import OpenRun, Store
from inversescope.generator import Generator
from inversescope.progress import Progress
from inversescope.records.levels import Level, Levels
from inversescope.sample.edits import edits_of
from inversescope.sites import Site
from inversescope.streams import Stream, TorchStream
from inversescope.train.checkpoint import load_generator
from inversescope.verdicts import NO_GENERATOR

NO_CONDITION, EDITS = "no condition", "edits"  # methods of draws that are of no site
ROWS = 1024  # samples drawn at once: enough to fill the arithmetic units, few enough to stay in a small cache


def sample(
    folder: Path,
    store: Store,
    generator: Generator,
    levels: Levels,
    samples: int,
    seed: int,
    progress: Progress,
    do: Do = here,
) -> list[Path]:
    """Draw `samples` for every target at each site and level, as many for each target unconditionally, and
    edit each target's source input as often.

    Earlier draws are kept. The random numbers of a site follow from the seed and its place alone.
    """
    names = [*map(str, generator.sites), NO_CONDITION, EDITS]
    units = [Unit(f"part-{index:05d}.parquet", (index, name)) for index, name in enumerate(names)]
    worker = lambda: _Sampler(folder, store, generator, levels, samples, seed)  # noqa: E731
    return list(parts.make(folder, units, worker, progress, do))


@dataclass(frozen=True)
class _Sampler:
    """Does units of the step: the draws at a site, those of no site, or the edits."""

    folder: Path
    store: Store
    generator: Generator
    levels: Levels
    samples: int
    seed: int

    def __call__(self, unit: Unit, _: Progress, /) -> Path:
        index, name = unit.arguments
        path = self.folder / unit.file
        files.write_table(path, self._edits() if name == EDITS else self._draws(index, name))
        return path

    def _edits(self) -> pa.Table:
        return _edit(self.store, self.samples, Stream.EDITS.rng(self.seed))

    def _draws(self, index: int, name: str) -> pa.Table:
        site = None if name == NO_CONDITION else Site.parse(name)
        device = next(self.generator.parameters()).device
        rng = torch.Generator(device).manual_seed(TorchStream.SAMPLES.seed(self.seed, index))
        return _draw_site(self.store, self.generator, site, self.levels, self.samples, rng)


def draw(
    generator: Generator,
    site: Site,
    activations: Float[Tensor, "m d"],
    bandwidth: float,
    samples: int,
    rng: torch.Generator,
) -> tuple[list[tuple[int, ...] | None], list[float]]:
    """`samples` inputs for each of the activations, those of one target together, and their ln q."""
    device = next(generator.parameters()).device
    with torch.inference_mode():
        bandwidths = torch.full((len(activations),), bandwidth, device=device)
        condition = generator.condition(site, activations.to(device), bandwidths)
    return draw_from(generator, condition, samples, rng)


def draw_from(
    generator: Generator, condition: Float[Tensor, "n condition"], samples: int, rng: torch.Generator
) -> tuple[list[tuple[int, ...] | None], list[float]]:
    """`samples` inputs for each of the conditions, those of one together, and their ln q."""
    tokens: list[tuple[int, ...] | None] = []
    log_q: list[float] = []
    for part in condition.split(max(1, ROWS // samples)):
        drawn, nats = generator.draw(part, rng, samples)
        tokens += drawn
        log_q += nats.double().tolist()
    return tokens, log_q


def _draw_site(
    store: Store, generator: Generator, site: Site | None, levels: Levels, samples: int, rng: torch.Generator
) -> pa.Table:
    targets = len(store.inputs("target"))
    if site is None:
        with torch.inference_mode():
            condition = generator.no_condition(targets)
        drawn = draw_from(generator, condition, samples, rng)
        return table(NO_CONDITION, None, None, targets, samples, *drawn)
    activations = store.activations("target", site)
    return pa.concat_tables(
        table(
            *("generator", site, level, targets, samples),
            *draw(generator, site, activations, level.drawn, samples, rng),
        )
        for level in levels[site]
    )


def _edit(store: Store, samples: int, rng: np.random.Generator) -> pa.Table:
    """Edits of every target's source input. Their distance at a site is known once they are read there."""
    sources = store.inputs("target").tokens
    edits = [tokens for each in edits_of(sources, store.inputs("train").tokens, samples, rng) for tokens in each]
    return table(EDITS, None, None, len(sources), samples, edits, [None] * len(edits))


def table(
    method: str,
    site: Site | None,
    level: Level | None,
    targets: int,
    samples: int,
    tokens: list[tuple[int, ...] | None],
    log_q: Sequence[float | None],
) -> pa.Table:
    """Draws for every target in turn, `samples` of each, as a table."""
    n = targets * samples
    columns = {
        "method": [method] * n,
        "site": [None if site is None else str(site)] * n,
        "resolution": [level and level.resolution] * n,
        "bandwidth": [level and level.bandwidth] * n,
        "target": [target for target in range(targets) for _ in range(samples)],
        "sample": list(range(samples)) * targets,
        "tokens": [None if row is None else list(row) for row in tokens],
        "log_q": log_q,
    }
    return records.sample.DRAWS.of_columns(columns)


def make_worker(run: OpenRun) -> Worker:
    """Worker of the step `sample`."""
    generator = load_generator(run.folder / "train", run.subject.device)
    return _Sampler(run.folder / "sample", run.store, generator, run.levels, run.config.sample.samples, run.seed)


def step(run: OpenRun, folder: Path, progress: Progress) -> None:
    """The step `sample`. Without a generator nothing is drawn."""
    if not run.sites["train"]:
        files.write_table(folder / "part-00000.parquet", records.sample.DRAWS.of([]))
        progress(1, 1, NO_GENERATOR)
        return
    generator = load_generator(run.folder / "train", run.subject.device)
    samples = run.config.sample.samples
    sample(folder, run.store, generator, run.levels, samples, run.seed, progress, by(run, make_worker))
