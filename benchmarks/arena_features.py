"""An arena on some of its features: which method identifies more of these, site by site.

    python benchmarks/arena_features.py ARENA ONE OTHER FEATURE [FEATURE ...]

ARENA is the folder of a finished arena. Share of the features' labels that a method identifies, for every target at
a site (ties split), and the difference of ONE over OTHER on the same targets, with the q-value of an exact
sign test over the sites. Prints Markdown.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy import ndarray

from inversescope.stats import intervals, resampling


def main() -> None:
    folder, one, other, *features = Path(sys.argv[1]), *sys.argv[2:]
    chosen = {
        (row["method"], row["site"], row["feature"]): row["bandwidth"]
        for row in pq.read_table(folder / "results.parquet").to_pylist()
        if row["chosen"] and row["site"] and row["feature"]
    }
    hits = {name: identified(folder, name, features, chosen) for name in (one, other)}
    sites = list(hits[one])
    differences = [hits[one][site] - hits[other][site] for site in sites]
    p_values = np.array([resampling.sign_test(each, np.random.default_rng(0)) for each in differences])
    print(f"| site | {one} | {other} | difference | q |\n|---|---|---|---|---|")
    for site, each, q in zip(sites, differences, resampling.q_values(p_values), strict=True):
        means = [words(intervals.mean(hits[name][site], 0, 1)) for name in (one, other)]
        print(f"| `{site}` | {means[0]} | {means[1]} | {words(intervals.mean(each, -1, 1))} | {value(q)} |")


def identified(folder: Path, method: str, features: list[str], chosen: dict) -> dict[str, ndarray]:
    """Share of the features identified for each site and target; NaN where none has a label."""
    rows = pq.read_table(folder / method.replace(" ", "-") / "answers.parquet").to_pylist()
    found: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        place = (method, row["site"], row["feature"])
        if row["feature"] in features and chosen.get(place) == row["bandwidth"]:
            found.setdefault(row["site"], {}).setdefault(row["target"], []).append(row["hit"])
    targets = 1 + max(row["target"] for row in rows)
    return {
        site: np.array([np.mean(hits[target]) if target in hits else np.nan for target in range(targets)])
        for site, hits in found.items()
    }


def value(q: float) -> str:
    return "–" if np.isnan(q) else "< 0.001" if q < 0.001 else f"{q:.3f}"


def words(estimate: intervals.Estimate) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


if __name__ == "__main__":
    main()
