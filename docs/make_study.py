"""The tables and the picture of a study's page: `pip install matplotlib`, then

    python docs/make_study.py RUN PICTURE.svg H [ARENA]

Prints Markdown: the corrected score of every feature at the generator's sites, at bandwidth H, by the pool, in bold
where it is encoded and used; with an arena, the share of labels identified. The picture has every layer.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt  # pyright: ignore[reportMissingImports] - only the picture needs it
import pyarrow.parquet as pq

from inversescope.report.arena import load_arena

Row = dict[str, Any]
SOURCE = "reference"
COMPARED = ("ours", "ours weighted", "inversionview", "linear probe", "mlp probe", "difference of means", "sae latents")


def rows(path: Path) -> list[Row]:
    return pq.read_table(path).to_pylist()


def cell(row: Row | None, name: str) -> str:
    """An estimate with its interval; a dash where it is undefined."""
    if row is None or row[name] is None:
        return "–"
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[name]:.2f}" if low is None else f"{row[name]:.2f} [{low:.2f}, {high:.2f}]"


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    body = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in body) + "\n"


def profile(run: Path, h: float) -> str:
    """Features by site, the used ones in bold; the last column is the smallest number of inputs that it rests on."""
    scores = {
        (r["site"], r["feature"]): r
        for r in rows(run / "score" / "results.parquet")
        if (r["source"], r["bandwidth"]) == (SOURCE, h)
    }
    usage = {(r["site"], r["feature"]): r["verdict"] for r in rows(run / "score" / "usage.parquet")}
    features = list(dict.fromkeys(feature for (_, feature), row in scores.items() if row["corrected"] is not None))

    def line(site: str) -> list[str]:
        cells = [cell(scores.get((site, feature)), "corrected") for feature in features]
        used = [usage[site, feature] == "encoded and used" for feature in features]
        ess = min(scores[site, feature]["ess"] for feature in features)
        return [f"`{site}`", *(f"**{c}**" if u else c for c, u in zip(cells, used, strict=True)), f"{ess:.0f}"]

    return table(["site", *features, "ESS"], map(line, dict.fromkeys(site for site, _ in usage)))


def contest(folder: Path) -> str:
    """Methods by what they identify; then site by site."""
    arena = load_arena(folder)
    overall = [
        [
            f"**{name}**" if name in COMPARED[:2] else name + (" †" if arena.competitor(name)["supervised"] else ""),
            *(cell(arena.results[name, None, None], column) for column in ("accuracy", "corrected")),
            cell(arena.results[name, None, None], "causal_agreement"),
            f"{arena.results[name, None, None]['silent'] / arena.results[name, None, None]['answers']:.0%}",
        ]
        for name in arena.methods
    ]
    compared = [name for name in COMPARED if name in arena.methods]
    by_site = [
        [f"`{site}`", *(cell(arena.results.get((name, site, None)), "accuracy") for name in compared)]
        for site in arena.study["sites"]
    ]
    head = ["method", "identified", "corrected", "causal agreement", "silent"]
    return table(head, overall) + "\n" + table(["site", *compared], by_site)


def picture(run: Path, h: float, path: Path) -> None:
    """A line and its interval for every feature over the layers of the residual stream; dots: the generator's weighted
    samples."""
    scores = [r for r in rows(run / "score" / "results.parquet") if r["bandwidth"] == h and r["point"] == "resid_post"]
    plt.rcParams.update({"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10, "svg.hashsalt": "0"})
    figure, axes = plt.subplots(figsize=(8, 3.6))
    scores = [row for row in scores if row["corrected"] is not None]
    for colour, feature in enumerate(dict.fromkeys(row["feature"] for row in scores)):
        mine = [row for row in scores if row["feature"] == feature]
        line = sorted((r for r in mine if r["source"] == SOURCE), key=lambda r: r["layer"])
        layers, low, high = ([r[k] for r in line] for k in ("layer", "corrected_low", "corrected_high"))
        axes.plot(layers, [r["corrected"] for r in line], color=f"C{colour}", label=feature)
        axes.fill_between(layers, low, high, color=f"C{colour}", alpha=0.15, linewidth=0)
        dots = [(r["layer"], r["corrected"]) for r in mine if r["source"] == "weighted"]
        axes.scatter(*zip(*dots, strict=True), color=f"C{colour}", s=14, zorder=3)
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set(xlabel="layer", ylabel=f"corrected score at h = {h}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, bbox_inches="tight", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))


def main() -> None:
    run, path, h = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    picture(run, h, path)
    print(profile(run, h))
    if len(sys.argv) > 4:
        print(contest(Path(sys.argv[4])))


if __name__ == "__main__":
    main()
