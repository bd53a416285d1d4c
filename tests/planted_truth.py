"""Planted worlds through the whole pipeline, and whether its scores tell what is encoded from what is erased.

    python tests/planted_truth.py OUT [seeds]

Each world of `planted_worlds.py` is collected, trained on, sampled, verified and scored, for 10 seeds unless told
otherwise (the seed turns the model's stream, and decides the targets and the draws); then one line a source.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from planted_worlds import WHOLE, WORLDS, World, write_world
from scipy.stats import binom, rankdata

from inversescope.pipeline import STEPS, Run

SOURCES = ("reference", "weighted", "generator")
# From the closest neighbourhood to where the finest of what is planted, a count, is blurred.
BANDWIDTHS = [0.05, 0.15, 0.5]
ZERO = 1e-6  # what rounding leaves of an exact zero


def scored(world: World, seed: int, folder: Path, splits: str = WHOLE) -> list[dict[str, Any]]:
    """The rows of `score/results.parquet` of which the truth is known, each with `world`, `seed` and `encoded`."""
    config = write_world(world, folder, seed, BANDWIDTHS, splits)
    run = Run.create(folder / "run", config.read_text())
    for step in takewhile(lambda step: step != "report", STEPS):
        run.do(step)
    known = {}
    for truth, encoded in ((world.encoded, True), (world.erased, False)):
        known |= {(site, feature): encoded for site, features in truth.items() for feature in features}
    return [
        row | {"world": world.name, "seed": seed, "encoded": known[row["site"], row["feature"]]}
        for row in pq.read_table(folder / "run" / "score" / "results.parquet").to_pylist()
        if (row["site"], row["feature"]) in known and row["source"] in SOURCES
    ]


def area_under_curve(rows: Sequence[dict[str, Any]]) -> float:
    """The share of pairs of an encoded and an erased row in which the encoded one scores higher (Mann and Whitney)."""
    encoded = np.array([row["encoded"] for row in rows])
    ranks = rankdata([row["corrected"] for row in rows])
    hits, others = encoded.sum(), (~encoded).sum()
    return float((ranks[encoded].sum() - hits * (hits + 1) / 2) / (hits * others))


def missed(rows: Sequence[dict[str, Any]]) -> int:
    """How many intervals of erased rows leave chance out."""
    return sum(
        not row["corrected_low"] - ZERO <= 0 <= row["corrected_high"] + ZERO for row in rows if not row["encoded"]
    )


def explicable(count: int, n: int) -> bool:
    """Whether 95% intervals, `n` independent ones, miss the truth this often in 998 of 1000 cases."""
    return bool(binom.ppf(0.001, n, 0.05) <= count <= binom.ppf(0.999, n, 0.05))


def main() -> None:
    out, seeds = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10
    rows = [
        row for seed in range(seeds) for world in WORLDS for row in scored(world, seed, out / f"{world.name}-{seed}")
    ]
    for source in SOURCES:
        part = [row for row in rows if row["source"] == source]
        encoded, erased = ([row["corrected"] for row in part if row["encoded"] == which] for which in (True, False))
        print(f"{source}: area under the curve {area_under_curve(part):.4f}")
        print(f"  encoded: {len(encoded)} rows, median {np.median(encoded):.3f}, least {min(encoded):.3f}")
        print(f"  erased: {len(erased)} rows, mean {np.mean(erased):+.4f}, largest {max(erased):+.3f}")
        print(f"  intervals of erased without chance: {missed(part)} ({missed(part) / len(erased):.1%})")


if __name__ == "__main__":
    main()
