"""Features by site in a finished run of a world: reference, generator, necessity.

    python benchmarks/worlds/findings.py runs/worlds/addition [--resolution 16]

One table a number, features down and sites across: the corrected score of the reference, that of the generator's
weighted samples, both at one resolution (default: the coarsest), and the necessity by patching. A number stands where
its 95% interval is above 0; "·" is an interval that holds 0, "-" is undefined.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from inversescope import records


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--resolution", type=float, help="of the scores; default: the coarsest")
    chosen = parser.parse_args()
    scores = pq.read_table(chosen.run / records.score.RESULTS.path)
    resolution = chosen.resolution or pc.min(scores["resolution"]).as_py()
    scores = scores.filter(pc.equal(scores["resolution"], resolution))
    console = Console(width=160)
    for method in ("reference", "weighted"):
        rows = scores.filter(pc.equal(scores["method"], method)).to_pylist()
        console.print(table(f"score of {method}, one input in {resolution:g} remains", rows, "corrected"))
    effects = pq.read_table(chosen.run / records.causal.USED.path).to_pylist()
    features = {row["feature"] for row in rows}
    console.print(table("necessity", [row for row in effects if row["feature"] in features], "necessity"))
    console.print(verdicts(effects))


def table(title: str, rows: list[dict[str, Any]], name: str) -> Table:
    """An estimate by feature and site."""
    sites = list(dict.fromkeys(row["site"] for row in rows))
    found = {(row["feature"], row["site"]): cell(row, name) for row in rows}
    shown = Table("feature", *sites, title=title)
    for feature in dict.fromkeys(row["feature"] for row in rows):
        shown.add_row(feature, *(found.get((feature, site), "-") for site in sites))
    return shown


def cell(row: dict[str, Any], name: str) -> str:
    """The estimate where its interval is above 0."""
    if row[name] is None:
        return "-"
    return f"{row[name]:.2f}" if (row[f"{name}_low"] or 0) > 0 else "·"


def verdicts(effects: list[dict[str, Any]]) -> str:
    """Features that are encoded and used, by site."""
    used: dict[str, list[str]] = {}
    for row in effects:
        if row["verdict"] == "encoded and used":
            used.setdefault(row["site"], []).append(row["feature"])
    return "\n".join(f"encoded and used at {site}: {', '.join(features)}" for site, features in used.items())


if __name__ == "__main__":
    main()
