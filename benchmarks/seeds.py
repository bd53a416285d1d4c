"""Agreement of runs of one config with different seeds: headline, verdicts on the generator, scores, causal verdicts.

    for seed in 0 1 2 3 4; do sed "s/^seed = .*/seed = $seed/" my.toml > $seed.toml; inversescope run $seed.toml; done
    python benchmarks/seeds.py runs/[0-4]

Each seed has its own inputs, targets, training and draws. A verdict *holds* if no run has its opposite: "cannot tell"
contradicts nothing. The scores are the reference's, and the generator's weighted ones; two runs disagree if their
intervals do not overlap, which for independent 95% intervals of equal width happens in one of 180 pairs by chance.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from inversescope import files

SCORED = ("reference", "weighted")
OPEN = "cannot tell"


def main() -> None:
    runs, console = [Path(folder) for folder in sys.argv[1:]], Console(width=140)
    for run in runs:
        console.print(f"{run.name}: {files.read_json(run / 'causal' / 'headline.json')['sentence']}")
    table = Table("", "cells", "the same in all", "hold", "decided in all", title=f"{len(runs)} seeds")
    table.add_row("generator, by site and resolution", *_held([_verdicts(run) for run in runs]))
    table.add_row("causal, by site and feature", *_held([_used(run) for run in runs]))
    console.print(table)
    spread = Table("score", "cells", "pairs of runs", "intervals apart", "mean spread", "largest")
    for method in SCORED:
        spread.add_row(method, *_spread([_scores(run, method) for run in runs]))
    console.print(spread)


def _verdicts(run: Path) -> dict[Hashable, str]:
    rows = pq.read_table(run / "calibrate" / "calibration.parquet").to_pylist()
    return {(row["site"], row["resolution"] or row["bandwidth"], row["query"]): row["verdict"] for row in rows}


def _used(run: Path) -> dict[Hashable, str]:
    rows = pq.read_table(run / "causal" / "used.parquet").to_pylist()
    return {(row["site"], row["feature"]): row["verdict"] for row in rows}


def _scores(run: Path, method: str) -> dict[Hashable, tuple[float, float, float]]:
    """Score and its interval, where both are defined."""
    rows = pq.read_table(run / "score" / "results.parquet", filters=[("method", "=", method)]).to_pylist()
    names = "corrected", "corrected_low", "corrected_high"
    found: dict[Hashable, Any] = {}
    for row in rows:
        values = tuple(row[name] for name in names)
        if None not in values and not np.isnan(values).any():
            found[row["site"], row["resolution"] or row["bandwidth"], row["feature"]] = values
    return found


def _common(runs: list[Mapping[Hashable, Any]]) -> list[Hashable]:
    return [cell for cell in runs[0] if all(cell in run for run in runs)]


def _held(runs: list[dict[Hashable, str]]) -> list[str]:
    cells = _common(runs)
    found = [{run[cell] for run in runs} for cell in cells]
    same, decided = sum(len(each) == 1 for each in found), sum(OPEN not in each for each in found)
    held = sum(len(each - {OPEN}) <= 1 for each in found)
    return [str(len(cells)), str(same), str(held), str(decided)]


def _spread(runs: list[dict[Hashable, tuple[float, float, float]]]) -> list[str]:
    cells = _common(runs)
    apart, spreads = 0, []
    for cell in cells:
        values = [run[cell] for run in runs]
        apart += sum(one[1] > other[2] or other[1] > one[2] for one, other in itertools.combinations(values, 2))
        spreads.append(np.ptp([value for value, _, _ in values]))
    pairs = len(cells) * len(runs) * (len(runs) - 1) // 2
    return [str(len(cells)), str(pairs), str(apart), f"{np.mean(spreads):.3f}", f"{max(spreads):.3f}"]


if __name__ == "__main__":
    main()
