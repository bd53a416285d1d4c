"""Agreement of two arenas: each method's share of labels identified, seed against seed, and the two rankings.

    inversescope arena runs/demo && inversescope arena runs/demo-seed-1
    python benchmarks/arena_seeds.py runs/demo/arena runs/demo-seed-1/arena

Two runs have different targets, so that their intervals are independent: the difference has the root of the sum of
their squared half widths. Two seeds of one run (--seed, --out) have the same targets, and the
interval is wider than need be.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table
from scipy import stats

from inversescope.report.arena import estimate, load_arena


def main() -> None:
    one, other = (load_arena(Path(folder)) for folder in sys.argv[1:3])
    table = Table("method", *(f"seed {records.study['seed']}" for records in (one, other)), "difference", "agree")
    agreed = 0
    for name in one.methods:
        first, second = (records.results[name, None, None] for records in (one, other))
        difference = first["accuracy"] - second["accuracy"]
        margin = sum((row["accuracy_high"] - row["accuracy_low"]) ** 2 / 4 for row in (first, second)) ** 0.5
        agreed += abs(difference) <= margin
        agrees = "yes" if abs(difference) <= margin else "no"
        table.add_row(name, estimate(one, name), estimate(other, name), f"{difference:+.3f} ± {margin:.3f}", agrees)
    ranks = [[records.results[name, None, None]["accuracy"] for name in one.methods] for records in (one, other)]
    turned = [
        key
        for key, row in one.pairs.items()
        if {row["ahead"], other.pairs[key]["ahead"]} == set(key)  # ahead in one, behind in the other
    ]
    console = Console(width=150)
    console.print(table)
    alike = stats.spearmanr(*ranks).statistic
    console.print(f"{agreed} of {len(one.methods)} agree; Spearman of the rankings {alike:.3f}")
    console.print(f"{len(turned)} of {len(one.pairs)} pairs are turned around: {turned or 'none'}")


if __name__ == "__main__":
    main()
