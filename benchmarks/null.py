"""Random relabellings of a run's features: at how many sites and levels is a feature that means nothing a finding?

    python benchmarks/null.py RUN [RELABELLINGS]

RUN is scored. A relabelling gives every distinct input a label at random, with the shares that the feature has in the
reference; equal inputs keep equal labels. So it scores where the source itself remains, and nowhere else. Counted are
relabellings whose interval lies above 0 (`above chance`), and those of which that holds among inputs other than the
source too (`a finding`). An interval of 95% has 1 in 40 above by chance. Levels that the run's null feature marks are
counted apart: no finding is made there.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy import ndarray
from rich.console import Console
from rich.table import Table
from safetensors.numpy import load_file

from inversescope import records
from inversescope.collect.inputs import INPUTS, read_inputs, read_known
from inversescope.records.levels import read_levels
from inversescope.score.labelled_feature import Feature, read_features
from inversescope.score.methods_and_controls import from_draws, from_pool
from inversescope.score.pool import Known, SitePool
from inversescope.score.sources import Sources
from inversescope.sites import Site
from inversescope.stats.kernel import Kernel
from inversescope.verdicts import NULL_FEATURE
from inversescope.verdicts.scores import COUNTING

RELABELLINGS = 20  # of each feature


def relabelled(tables: list[pa.Table], features: list[Feature], count: int, seed: int) -> list[pa.Table]:
    """The tables with random labels in place of their own, `count` columns for each feature."""
    number: dict[tuple[int, ...], int] = {}
    rows = [
        [None if x is None else number.setdefault(tuple(x), len(number)) for x in t["tokens"].to_pylist()]
        for t in tables
    ]
    rng, made = np.random.default_rng(seed), []
    for table in tables:
        names = [name for name in table.column_names if name.startswith(records.LABEL)]
        made.append(table.drop(names))
    for feature in features:
        shares = feature.prior.shares
        for one in range(count):
            labels = rng.choice(len(shares), len(number), p=shares / shares.sum()).astype(str).tolist()
            name = f"{records.LABEL}{feature.name} {one}"
            for at, of_table in enumerate(rows):
                column = pa.array([None if x is None else labels[x] for x in of_table], pa.string())
                made[at] = made[at].append_column(name, column)
    return made


def counts(run: Path, relabellings: int, seed: int) -> dict[tuple[str, bool], ndarray]:
    """Scores that are defined, above chance, and findings: of each method, where the run marks it and where not."""
    inputs, samples = pq.read_table(run / "collect" / INPUTS), pq.read_table(run / records.verify.SAMPLES.path)
    samples = samples.filter((pc.field("method") == "generator") & pc.field("site").is_valid())
    pool, known, levels = read_inputs(run / "collect" / INPUTS, "pool"), read_known(run), read_levels(run)
    own = read_features(inputs, samples, pool.probability, known=known)
    inputs, samples = relabelled([inputs, samples], own, relabellings, seed)
    features = read_features(inputs, samples, pool.probability, known=known)
    sources = Sources.of(inputs, pool, known)
    apart = load_file(run / records.collect.DISTANCES.path)
    behind = {} if known is None else load_file(run / records.collect.KNOWN_DISTANCES.path)
    marks = {
        (row["method"], row["site"], row["bandwidth"]): bool(row["null_passes"])
        for row in pq.read_table(run / records.score.RESULTS.path).to_pylist()
        if row["feature"] == NULL_FEATURE
    }
    found: defaultdict[tuple[str, bool], ndarray] = defaultdict(lambda: np.zeros(3, dtype=int))
    for name in samples["site"].unique().to_pylist():
        site = Site.parse(name)
        bandwidths = [level.bandwidth for level in levels[site]]
        beside = None if known is None or name not in behind else Known(behind[name], known)
        around = SitePool.of(apart[name], pool.probability, pool.exact, bandwidths, Kernel.GAUSSIAN, beside)
        drawn = from_draws(site, samples.filter(pc.field("site") == name), bandwidths, features, seed)
        for item in (*from_pool(site, around, features, sources.own), *drawn):
            if item.method not in COUNTING:
                continue
            marked = marks[item.method, name, item.bandwidth]
            for feature in features:
                low = item.score(feature).corrected.low
                others = item.score_others(feature, sources.mass).corrected.low
                found[item.method, marked] += [low == low, low > 0, low > 0 and others > 0]
    return found


def main() -> None:
    relabellings = int(sys.argv[2]) if len(sys.argv) > 2 else RELABELLINGS
    table = Table("method", "null feature above chance", "scores", "above chance", "a finding")
    for (method, marked), (scores, above, findings) in sorted(counts(Path(sys.argv[1]), relabellings, 0).items()):
        shares = f"{above / max(scores, 1):.3f}", "none is made" if marked else f"{findings / max(scores, 1):.3f}"
        table.add_row(method, "yes" if marked else "no", str(scores), *shares)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
