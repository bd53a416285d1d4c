"""Does a feature hold where another one differs? Is the country shared by inputs that name another city?

    python benchmarks/beyond.py RUN FEATURE GIVEN N

From the finished run's pool, where one input in N of the prior remains (N as in the config): at every site, the
corrected score of FEATURE over the inputs whose label of GIVEN is not the target's own. Its consistency and its chance
are of these alone, so that what GIVEN brings along counts for nothing. Left out where fewer than ten such inputs (by
their weights) remain of half of the targets.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy import ndarray
from rich.console import Console
from rich.table import Table
from safetensors.numpy import load_file

from inversescope.collect.reference import DISTANCES
from inversescope.records.levels import pick, read_levels
from inversescope.stats import intervals
from inversescope.stats.kernel import Kernel
from inversescope.stats.weights import effective_sample_size

NEEDED = 10.0  # effective sample size, of the inputs that differ in GIVEN


def main() -> None:
    run, feature, given, resolution = Path(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])
    levels = {str(site): pick(each, resolution, None) for site, each in read_levels(run).items()}
    inputs = pq.read_table(run / "collect" / "inputs.parquet")
    pool, targets = (inputs.filter(pc.field("split") == split).sort_by("row") for split in ("pool", "target"))
    known = pool["probability"].to_numpy()
    prior = np.where(np.isnan(known), 1 / len(known), known)[:, None]
    apart = decided(pool, given)[:, None] & (labels(pool, given)[:, None] != labels(targets, given))
    apart &= decided(pool, feature)[:, None] & decided(targets, feature)
    same = labels(pool, feature)[:, None] == labels(targets, feature)
    chance = share(prior * apart, same)
    table = Table("site", "inputs", "targets", f"{feature} where {given} differs", "chance")
    found = load_file(run / "reference" / DISTANCES)
    for site, distances in sorted(found.items(), key=lambda item: [int(n) for n in re.findall(r"\d+", item[0])]):
        if site not in levels:
            continue
        weights = prior * np.exp(Kernel.GAUSSIAN.log(distances, levels[site].bandwidth)) * apart
        sizes = effective_sample_size(weights.T)
        rates = np.where(sizes >= NEEDED, share(weights, same), np.nan)
        used = ~np.isnan(rates) & ~np.isnan(chance)
        if 2 * used.sum() >= len(rates):
            score = intervals.corrected(rates, chance)
            text = f"{score.value:.2f} [{score.low:.2f}, {score.high:.2f}]"
            table.add_row(site, f"{np.median(sizes[used]):.0f}", str(used.sum()), text, f"{chance[used].mean():.2f}")
    Console(width=110).print(table)


def labels(table: pa.Table, feature: str) -> ndarray:
    return np.array(table[f"label.{feature}"].to_pylist(), dtype=object)


def decided(table: pa.Table, feature: str) -> ndarray:
    return np.array([label is not None for label in labels(table, feature)])


def share(weights: ndarray, same: ndarray) -> ndarray:
    """Weight of each target's inputs that share its label; NaN where there are none."""
    total = weights.sum(0)
    return np.divide((weights * same).sum(0), total, out=np.full(len(total), np.nan), where=total > 0)


if __name__ == "__main__":
    main()
