"""Weighted scores against exact ones, under three rules of which targets to leave out.

    python benchmarks/collapse.py RUN WORLD

RUN is verified. WORLD is a run of the same task and subject whose pool is the whole prior (`collect.pool = "all"`),
with the sites of RUN's generator collected; only its step `collect` is needed. The exact consistency of a feature is a
sum over WORLD's pool, over all targets. Old rule: a target counts if its effective sample size, by draws, is at least
four.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from numpy import ndarray
from rich.console import Console
from rich.table import Table

from inversescope.collect.store import Store
from inversescope.sample.one_target import Weighed, weigh
from inversescope.sites import Site
from inversescope.stats.kernel import Kernel
from inversescope.stats.labels import encode
from inversescope.stats.weights import effective_sample_size, weighted_medians
from inversescope.verdicts import COLLAPSED, FAR


class Target(NamedTuple):
    """One target at a site and bandwidth: its weights, and the consistency of each feature, weighted and exact."""

    site: str
    bandwidth: float
    found: Weighed
    by_draws: float  # effective sample size that counts draws
    weighted: ndarray
    exact: ndarray


RULES: dict[str, Callable[[Target], bool]] = {
    "none left out": lambda target: target.found.size > 0,
    "old: 4 by draws": lambda target: target.by_draws >= COLLAPSED,
    "4 by distinct inputs": lambda target: target.found.size >= COLLAPSED,
    "normaliser": lambda target: target.found.left_out in (None, FAR),
    "normaliser, and a near draw": lambda target: target.found.left_out is None,
}


def main() -> None:
    torch.set_num_threads(1)
    run, world = Path(sys.argv[1]), Store(Path(sys.argv[2]) / "collect")
    samples = pq.read_table(run / "verify" / "samples.parquet").filter(pc.field("method") == "generator")
    targets = list(_targets(samples, Store(run / "collect"), world))
    bandwidths = sorted({target.bandwidth for target in targets})
    cells = {(target.site, target.bandwidth) for target in targets}
    table = Table("rule", "targets kept", "error", *(f"h = {h:g}" for h in bandwidths))
    for name, rule in RULES.items():
        errors = {cell: _error([target for target in targets if target[:2] == cell], rule) for cell in cells}
        by_bandwidth = [np.nanmean([errors[cell] for cell in cells if cell[1] == h]) for h in bandwidths]
        kept = np.mean([rule(target) for target in targets])
        table.add_row(
            name, f"{kept:.0%}", *(f"{value:.4f}" for value in (np.nanmean(list(errors.values())), *by_bandwidth))
        )
    console = Console(width=110)
    console.print(table)
    console.print(f"error of a feature's mean consistency over targets, mean over features and {len(cells)} cells")


def _targets(samples: pa.Table, own: Store, world: Store) -> Iterator[Target]:
    """Every target of every site and bandwidth."""
    prior, sources = world.inputs("pool"), own.inputs("target").tokens
    place = {tokens: row for row, tokens in enumerate(prior.tokens)}
    of_source = np.array([place[tokens] for tokens in sources])
    labels = np.array([encode(values, sorted({*values} - {None})) for values in prior.labels.values()])
    for site in sorted(samples["site"].unique().to_pylist()):
        where = Site.parse(site)
        distances = own.distance(where).between(world.activations("pool", where), own.activations("target", where))
        by_target = distances.double().numpy().T
        for h in samples.filter(pc.field("site") == site)["bandwidth"].unique().to_pylist():
            exact = Kernel.GAUSSIAN.posterior(by_target, h, prior.log_prior)
            near = weighted_medians(by_target, exact)
            cell = samples.filter((pc.field("site") == site) & (pc.field("bandwidth") == h))
            for target, row in enumerate(of_source):
                draws = cell.filter(pc.field("target") == target)
                same = (labels == labels[:, [row]]) & (labels[:, [row]] >= 0)
                yield _target(draws, site, h, place, prior.log_prior[row], float(near[target]), same, exact[target])


def _target(
    draws: pa.Table,
    site: str,
    h: float,
    place: dict[tuple[int, ...], int],
    floor: float,
    near: float,
    same: ndarray,
    exact: ndarray,
) -> Target:
    tokens = [None if row is None else tuple(row) for row in draws["tokens"].to_pylist()]
    at = np.array([place.get(row or (), -1) for row in tokens])
    numbers = {
        name: draws[name].to_numpy(zero_copy_only=False).astype(float) for name in ("distance", "log_prior", "log_q")
    }
    log_prior = np.nan_to_num(numbers["log_prior"], nan=-np.inf)
    found = weigh(tokens, numbers["distance"], Kernel.GAUSSIAN, h, log_prior, numbers["log_q"], floor, near)
    alike = np.where(at >= 0, same[:, at], False)
    first = {tokens: i for i, tokens in reversed(list(enumerate(tokens)))}
    shared = found.weight[[first[x] for x in tokens]] / found.times[[first[x] for x in tokens]]
    return Target(site, h, found, float(effective_sample_size(shared)), alike @ found.weight, same @ exact)


def _error(targets: list[Target], rule: Callable[[Target], bool]) -> float:
    """Error of the mean consistency of a cell, mean over features; NaN where no target is kept."""
    kept = [target.weighted for target in targets if rule(target)]
    if not kept:
        return np.nan
    return float(np.abs(np.mean(kept, 0) - np.mean([target.exact for target in targets], 0)).mean())


if __name__ == "__main__":
    main()
