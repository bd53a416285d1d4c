"""Planted worlds through the whole pipeline, and whether its scores tell what is encoded from what is erased.

    python tests/planted_truth.py OUT [seeds]

Each world of `planted_worlds.py` is collected, trained on, sampled, verified and scored, for 10 seeds unless told
otherwise (the seed turns the model's stream, and decides the targets and the draws). Then what the scores of each
source say, and the verdicts of the causal check.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from once import once
from planted_worlds import WHOLE, WORLDS, World, write_world
from scipy.stats import binom, rankdata

from inversescope.run.pipeline import STEPS
from inversescope.run.run import Run

METHODS = ("reference", "weighted", "generator")
# From the closest neighbourhood to where the finest of what is planted, a count, is blurred.
BANDWIDTHS = (0.05, 0.15, 0.5)
ZERO = 1e-6  # what rounding leaves of an exact zero

Row = dict[str, Any]
Runs = Mapping[tuple[World, int], Path]


@cache
def runs_in(folder: Path) -> Runs:
    """The finished runs that all tests of a session share: two seeds, the first and the last bandwidth."""
    with once(folder, "planted") as to_do:
        return finish(folder / "planted", (0, 1), BANDWIDTHS[::2]) if to_do else finished_in(folder / "planted")


def finish(folder: Path, seeds: Iterable[int], bandwidths: Sequence[float]) -> Runs:
    """A finished run of every world and seed."""
    return {
        (world, seed): run(world, seed, folder / f"{world.name}-{seed}", bandwidths)
        for seed in seeds
        for world in WORLDS
    }


def finished_in(folder: Path) -> Runs:
    """Those that `finish` left in this folder."""
    return {
        (world, int(path.name.removeprefix(f"{world.name}-"))): path / "run"
        for world in WORLDS
        for path in sorted(folder.glob(f"{world.name}-*"))
    }


def run(world: World, seed: int, folder: Path, bandwidths: Sequence[float], splits: str = WHOLE) -> Path:
    """Every step but the report; the run's folder."""
    config = write_world(world, folder, seed, bandwidths, splits)
    made = Run.create(folder / "run", config.read_text())
    for step in takewhile(lambda step: step != "report", STEPS):
        made.do(step)
    return made.folder


def known_scores(run: Path, world: World) -> list[Row]:
    """The rows of `score/results.parquet` of which the truth is known, each with `encoded`."""
    known = {}
    for truth, encoded in ((world.encoded, True), (world.erased, False)):
        known |= {(site, feature): encoded for site, features in truth.items() for feature in features}
    return [
        row | {"encoded": known[row["site"], row["feature"]]}
        for row in pq.read_table(run / "score" / "results.parquet").to_pylist()
        if (row["site"], row["feature"]) in known and row["method"] in METHODS
    ]


def all_scores(runs: Runs) -> list[Row]:
    """Those of all runs."""
    return [row for (world, _), run in runs.items() for row in known_scores(run, world)]


def known_verdicts(runs: Runs) -> list[tuple[str, Row]]:
    """The rows of `causal/used.parquet` of which the truth is known: `used`, `unused` or `erased`."""
    return [
        (name, row)
        for (world, _), run in runs.items()
        for row in pq.read_table(run / "causal" / "used.parquet").to_pylist()
        for name in ("used", "unused", "erased")
        if row["feature"] in getattr(world, name).get(row["site"], ())
    ]


def area_under_curve(rows: Sequence[Row]) -> float:
    """The share of pairs of an encoded and an erased row in which the encoded one scores higher (Mann and Whitney)."""
    encoded = np.array([row["encoded"] for row in rows])
    ranks = rankdata([row["corrected"] for row in rows])
    hits, others = encoded.sum(), (~encoded).sum()
    return float((ranks[encoded].sum() - hits * (hits + 1) / 2) / (hits * others))


def missed(rows: Sequence[Row]) -> int:
    """How many intervals of erased rows leave chance out."""
    erased = [row for row in rows if not row["encoded"]]
    return sum(not row["corrected_low"] - ZERO <= 0 <= row["corrected_high"] + ZERO for row in erased)


def explicable(count: int, n: int) -> bool:
    """Whether 95% intervals, `n` independent ones, miss the truth this often in 998 of 1000 cases."""
    return bool(binom.ppf(0.001, n, 0.05) <= count <= binom.ppf(0.999, n, 0.05))


def main() -> None:
    seeds = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    runs = finish(Path(sys.argv[1]), range(seeds), BANDWIDTHS)
    rows = all_scores(runs)
    for method in METHODS:
        part = [row for row in rows if row["method"] == method]
        encoded, erased = ([row["corrected"] for row in part if row["encoded"] == which] for which in (True, False))
        print(f"{method}: area under the curve {area_under_curve(part):.4f}")
        print(f"  encoded: {len(encoded)} rows, median {np.median(encoded):.3f}, least {min(encoded):.3f}")
        print(f"  erased: {len(erased)} rows, mean {np.mean(erased):+.4f}, largest {max(erased):+.3f}")
        print(f"  intervals of erased without chance: {missed(part)} ({missed(part) / len(erased):.1%})")
    for (truth, verdict), count in sorted(
        Counter((name, row["verdict"]) for name, row in known_verdicts(runs)).items()
    ):
        print(f"{truth}: {count} times {verdict}")


if __name__ == "__main__":
    main()
