"""Corrected scores of every site, level and feature against the exact ones, over fresh draws of a run's generator.

    python benchmarks/cells.py RUN WORLD [--draws 24] [--bandwidths .05,.1]

RUN is trained. WORLD is a run of the same task and subject whose pool is the whole prior (`collect.pool = "all"`), with
the sites of RUN's generator collected; only its step `collect` is needed: it says what is exact, and every draw was
read there. Without bandwidths, RUN's own levels are asked.

Methods: the draws as they come; weighted; the reference, with the inputs whose probability is known; the pool alone;
the source alone, which always has its own label; and the weighted draws among inputs other than the source, against
what is exact among these, over the targets at which they are worth enough.

A cell is a site, a level and a feature. It is right where its corrected score, over the targets that are not left out,
is within .05 of the exact one over all targets. Cells are counted where the pool's effective sample size (median over
targets) is below 10, and elsewhere.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from rich.console import Console
from rich.table import Table

from inversescope.collect.inputs import KnownInputs, read_known
from inversescope.collect.posterior import known_activations
from inversescope.collect.store import Store
from inversescope.generator import Generator
from inversescope.records.levels import Level, read_levels
from inversescope.sample.one_target import weigh
from inversescope.sample.sample import draw
from inversescope.score.feature import without_source
from inversescope.sites import Site
from inversescope.stats.kernel import Kernel
from inversescope.stats.labels import encode
from inversescope.stats.weights import effective_sample_size, weighted_medians
from inversescope.train.checkpoint import load_generator

FINE, NEAR, FAR = 10.0, 0.05, 0.1  # effective sample size of the pool; differences of corrected scores
METHODS = ("generator", "weighted", "reference", "pool", "source", "others")
Scores = Float[ndarray, " features"]


class Cells(NamedTuple):
    """A site and level: corrected scores of the features by every method, less the exact ones; NaN where undefined."""

    site: Site
    level: Level
    pool_size: float
    kept: float
    off: dict[str, Scores]


class Whole:
    """The whole prior, with the targets of a run in it."""

    def __init__(self, run: Path, world: Path):
        self.run, self.own, self.store = run, Store(run / "collect"), Store(world / "collect")
        self.known: KnownInputs | None = read_known(run)
        prior = self.store.inputs("pool")
        self.place = {tokens: row for row, tokens in enumerate(prior.tokens)}
        self.log_prior, self.probability = prior.log_prior, prior.probability
        self.labels = np.array([encode(of, sorted({*of} - {None})) for of in prior.labels.values()])
        self.sources = np.array([self.place[tokens] for tokens in self.own.inputs("target").tokens])
        self.pool = np.array([self.place[tokens] for tokens in self.own.inputs("pool").tokens])
        own = self.labels[:, self.sources]
        self.same = self.labels[:, None] == own[:, :, None]  # [features, targets, inputs]
        self.chance = self.same @ self.probability  # [features, targets]

    def distances(self, site: Site) -> Float[ndarray, "targets inputs"]:
        """δ from every target to every input of the prior."""
        targets = self.own.activations("target", site)
        return self.own.distance(site).between(self.store.activations("pool", site), targets).double().numpy().T

    def pools(self, site: Site) -> dict[str, tuple[ndarray, ndarray, ndarray]]:
        """Places, δ [targets, inputs] and P of the inputs: those of the pool alone, and of the reference."""
        distance, targets = self.own.distance(site), self.own.activations("target", site)
        pool = distance.between(self.own.activations("pool", site), targets).double().numpy().T
        found = {"pool": (self.pool, pool, self.own.inputs("pool").probability)}
        if self.known is None:
            return found | {"reference": found["pool"]}
        behind = distance.between(known_activations(self.own, self.known, site), targets).double().numpy().T
        places = [self.place[self.own.inputs(split).tokens[row]] for split, row in self.known.rows]
        shares = self.known.shares
        return found | {"reference": (np.r_[self.pool, places], np.c_[pool, behind], shares)}

    def corrected(self, consistency: Float[ndarray, "features targets"], kept: ndarray) -> Scores:
        """Over the kept targets."""
        if not kept.any():
            return np.full(len(consistency), np.nan)
        fcr, chance = consistency[:, kept].mean(1), self.chance[:, kept].mean(1)
        return (fcr - chance) / (1 - chance)


def cells(whole: Whole, generator: Generator, level: Level, site: Site, draws: int, seed: int) -> Cells:
    """The scores at one level of a site."""
    h, targets = level.bandwidth, len(whole.sources)
    by_target = whole.distances(site)
    exact = Kernel.GAUSSIAN.posterior(by_target, h, whole.log_prior)
    everyone = np.ones(targets, dtype=bool)
    truth = whole.corrected((whole.same * exact).sum(-1), everyone)
    off, pools = {}, whole.pools(site)
    posteriors = {
        name: Kernel.GAUSSIAN.posterior(apart, h, np.log(shares)) for name, (_, apart, shares) in pools.items()
    }
    for name, weights in posteriors.items():
        off[name] = whole.corrected((whole.same[:, :, pools[name][0]] * weights).sum(-1), everyone) - truth
    pool_size = float(np.median(effective_sample_size(posteriors["pool"])))
    near = weighted_medians(pools["pool"][1], posteriors["pool"])
    rng = torch.Generator().manual_seed(seed)
    tokens, log_q = draw(generator, site, whole.own.activations("target", site), h, draws, rng)
    drawn, weighted, kept, others, of_others = (np.zeros((len(truth), targets)) for _ in range(5))
    for target, source in enumerate(whole.sources):
        of = slice(target * draws, (target + 1) * draws)
        at = np.array([whole.place.get(x or (), -1) for x in tokens[of]])
        apart = np.where(at >= 0, by_target[target, at], np.nan)
        log_prior = np.where(at >= 0, whole.log_prior[at], -np.inf)
        floor = float(whole.log_prior[source])
        found = weigh(tokens[of], apart, Kernel.GAUSSIAN, h, log_prior, np.array(log_q[of]), floor, float(near[target]))
        same = whole.same[:, target, at] & (at >= 0)
        drawn[:, target], weighted[:, target] = same.mean(1), same @ found.weight
        kept[:, target] = found.left_out is None
        left, (enough,) = without_source(found.weight[None], at[None] == source)
        others[:, target] = same @ left[0] / left.sum() if enough and found.left_out is None else np.nan
        rest = np.where(np.arange(len(exact[target])) == source, 0.0, exact[target])
        of_others[:, target] = whole.same[:, target] @ (rest / rest.sum())
    off["generator"] = whole.corrected(drawn, everyone) - truth
    some = ~np.isnan(others[0])
    off["others"] = whole.corrected(others, some) - whole.corrected(of_others, some)
    off["source"] = 1 - truth
    off["weighted"] = whole.corrected(weighted, kept[0] > 0) - truth
    return Cells(site, level, pool_size, float(kept[0].mean()), off)


def every(whole: Whole, generator: Generator, bandwidths: list[float], draws: int, seed: int) -> Iterator[Cells]:
    """Every site and level."""
    levels = read_levels(whole.run)
    for site in generator.sites:
        for level in [Level(None, h) for h in bandwidths] or levels[site]:
            yield cells(whole, generator, level, site, draws, seed)


def right(off: Scores) -> int:
    """Number of cells that are right."""
    return int((np.abs(off) <= NEAR).sum())


def _right(off: Scores) -> str:
    """The same in words, where not all are defined with the number of those that are."""
    defined = int((~np.isnan(off)).sum())
    return str(right(off)) if defined == len(off) else f"{right(off)} of {defined}"


def show(found: list[Cells]) -> Table:
    """Cells that are right, by level and by the pool's effective sample size."""
    table = Table(
        "level", "pool's ESS", "targets kept", "cells", *METHODS, "pool off by > .1", "of these weighted right"
    )
    groups = {f"{each.level.resolution or each.level.bandwidth:g}": None for each in found}
    rows = {name: [c for c in found if f"{c.level.resolution or c.level.bandwidth:g}" == name] for name in groups}
    rows |= {
        "pool's ESS < 10": [c for c in found if c.pool_size < FINE],
        "others": [c for c in found if c.pool_size >= FINE],
    }
    for name, group in rows.items():
        if group:
            off = {method: np.concatenate([cell.off[method] for cell in group]) for method in METHODS}
            wrong = np.abs(off["pool"]) > FAR
            table.add_row(
                name, f"{np.median([cell.pool_size for cell in group]):.1f}", f"{np.mean([c.kept for c in group]):.0%}",
                str(len(off["pool"])), *(_right(off[method]) for method in METHODS), str(int(wrong.sum())),
                str(right(off["weighted"][wrong])),
            )  # fmt: skip
    return table


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("world", type=Path)
    parser.add_argument("--draws", type=int, default=24)
    parser.add_argument("--bandwidths", default="")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    whole, generator = Whole(given.run, given.world), load_generator(given.run / "train", torch.device("cpu"))
    bandwidths = [float(h) for h in given.bandwidths.split(",") if h]
    console, found = Console(width=130), list(every(whole, generator, bandwidths, given.draws, given.seed))
    console.print(show(found))
    for cell in found:
        off = cell.off["weighted"]
        if cell.pool_size < FINE and right(off) < len(off):
            listed = " ".join(f"{value:+.2f}" for value in off)
            console.print(
                f"{cell.site} h = {cell.level.bandwidth:.3g}: weighted less exact {listed}, {cell.kept:.0%} kept"
            )


if __name__ == "__main__":
    main()
