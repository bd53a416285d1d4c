"""A run that has read every input of its prior: exact posteriors of targets, and generators trained on a part of it.

Only the units of a site are of the whole prior, for all of them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from inversescope.arena.methods import INVERSIONVIEW
from inversescope.collect.bandwidths import Remaining
from inversescope.collect.inputs import Inputs
from inversescope.collect.store import Store
from inversescope.config import RunConfig
from inversescope.generator import Generator
from inversescope.run.run import Run
from inversescope.sites import Site
from inversescope.stats.kernel import Kernel
from inversescope.tasks import Task
from inversescope.train.train import train

STAND_INS = 16  # inputs around which the bandwidth of a resolution is found
TRIED = 30  # steps that show how long one takes
Levels = Mapping[Site, Mapping[float, float]]  # bandwidth of each site by bandwidth or resolution


class PartStore(Store):
    """A store whose training inputs are some rows of a pool that is the whole prior."""

    def __init__(self, folder: Path, rows: Sequence[int]):
        super().__init__(folder)
        self.rows = list(rows)

    def inputs(self, split: str) -> Inputs:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The inputs of a split."""
        if split != "train":
            return super().inputs(split)
        pool = super().inputs("pool")
        if self.rows == list(range(len(pool))):
            return pool  # with its probability: training knows the exact posterior
        labels = {name: [column[i] for i in self.rows] for name, column in pool.labels.items()}
        return Inputs([pool.tokens[i] for i in self.rows], [pool.texts[i] for i in self.rows], labels)

    def activations(self, split: str, site: Site) -> torch.Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The activations of a split."""
        return super().activations("pool", site)[self.rows] if split == "train" else super().activations(split, site)


def drawn_rows(probability: Float[ndarray, " prior"], share: float, seed: int) -> list[int]:
    """Draws from the prior until a share of its inputs, by number, is among them; sorted, with repeats. All inputs,
    once each, for the share 1.
    """
    if share == 1:
        return list(range(len(probability)))
    cumulated = probability.cumsum() / probability.sum()
    rng, rows, distinct = np.random.default_rng([seed, 15]), [], set()
    while len(distinct) < (share if share > 1 else share * len(probability)):
        rows.append(int(np.searchsorted(cumulated, rng.random(), side="right")))
        distinct.add(rows[-1])
    return sorted(rows)


def unread(store: PartStore, trained: ndarray, count: int, seed: int) -> list[int]:
    """Targets drawn from the inputs of the prior that were not trained on; from all where none is left."""
    probability = store.inputs("pool").probability * (~trained if (~trained).any() else 1)
    return np.random.default_rng([seed, 29]).choice(len(trained), count, p=probability / probability.sum()).tolist()


class Truth:
    """Exact posteriors of a site, at stand-ins for targets."""

    def __init__(self, store: Store, site: Site, targets: Sequence[int]):
        channel, self.pool = store.channel(site), store.inputs("pool")
        read = channel.coordinates(store.activations("pool", site)).double()
        own = read[list(targets)]
        squares = (own**2).sum(1)[:, None] + (read**2).sum(1) - 2 * own @ read.T
        self.distances = (squares.clamp_min(0) / channel.units.dimension).sqrt().numpy()
        self.distances[np.arange(len(own)), list(targets)] = 0

    def at(self, bandwidth: float) -> Float[ndarray, "targets prior"]:
        """P(x; ẑ, s, h)."""
        return Kernel.GAUSSIAN.posterior(self.distances, bandwidth, self.pool.log_prior)


def levels_of(run: Run, config: RunConfig, sites: Sequence[Site]) -> Levels:
    """Bandwidths of the config, or those of its resolutions as far as a site reaches them."""
    if config.sample.bandwidths:
        return {site: {h: h for h in config.sample.bandwidths} for site in sites}
    pool, found = run.store.inputs("pool"), {}
    chosen = np.random.default_rng(config.seed).choice(len(pool), STAND_INS, p=pool.probability).tolist()
    for site in sites:
        distances, own = Truth(run.store, site, chosen).distances, np.zeros(STAND_INS)
        remaining = Remaining(distances, pool.probability, own, exact=True, kernel=Kernel.GAUSSIAN)
        bandwidths = {resolution: remaining.bandwidth(resolution) for resolution in config.sample.resolutions}
        found[site] = {resolution: h for resolution, h in bandwidths.items() if h is not None}
    return found


def trained_on(
    store: PartStore, config: RunConfig, levels: Levels, prior: Task
) -> tuple[Generator, float, Float[ndarray, " steps-1"]]:
    """A generator trained by the config on the store's part, without checks; seconds of processor time, and those of
    every step but the first.
    """
    started, sampled = time.process_time(), {site: list(at.values()) for site, at in levels.items()}
    ends: list[float] = []

    def tick(done: int, total: int, note: str = "") -> None:
        ends.append(time.process_time())

    with tempfile.TemporaryDirectory() as folder:
        generator = train(
            Path(folder), store, list(levels), config.generator, config.train, config.seed, torch.device("cpu"),
            tick, None, sampled, prior if config.train.emulate else None,
        )  # fmt: skip
    return generator.eval(), time.process_time() - started, np.diff(ends)


def trained_for(
    seconds: float, store: PartStore, config: RunConfig, levels: Levels, prior: Task
) -> tuple[Generator, float]:
    """A generator trained for about so many seconds of processor time, and how many they were."""
    _, spent, steps = trained_on(store, with_steps(config, TRIED), levels, prior)
    each = float(np.median(steps))
    before = spent - TRIED * each  # of preparing, which takes as long however many steps follow
    return trained_on(store, with_steps(config, max(1, round((seconds - before) / each))), levels, prior)[:2]


def with_steps(config: RunConfig, steps: int) -> RunConfig:
    """The config with another number of training steps."""
    return config.model_copy(update={"train": config.train.model_copy(update={"steps": steps})})


def inversionview(config: RunConfig) -> RunConfig:
    """The config with the settings of InversionView's generator in the arena."""
    changed = config.model_dump(mode="json", exclude_unset=True, round_trip=True)
    for key, value in INVERSIONVIEW:
        section, name = key.split(".")
        changed.setdefault(section, {})[name] = value
    return RunConfig.model_validate(changed)
