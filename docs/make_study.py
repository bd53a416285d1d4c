"""The tables and the picture of a study's page: `pip install matplotlib`, then

    python docs/make_study.py RUN PICTURE.svg H [ARENA]

Prints Markdown: the corrected score of every feature at the generator's sites, at bandwidth H, by the pool, in bold
where it is encoded and used; the heads that say most of a feature; with an arena, the share of labels identified. The
picture has every layer; where heads were read, another one has them (PICTURE-heads.svg).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt  # pyright: ignore[reportMissingImports] - only the pictures need it
import numpy as np
import pyarrow.parquet as pq
from matplotlib.cm import ScalarMappable  # pyright: ignore[reportMissingImports]
from matplotlib.colors import Normalize  # pyright: ignore[reportMissingImports]

from inversescope.report.arena import load_arena

Row = dict[str, Any]
METHOD = "reference"
UNNAMED = dict.fromkeys(("Creator", "Date", "Format", "Type"))  # the same picture each time
COMPARED = ("ours", "inversionview", "nearest", "linear probe", "sae latents")


RIVALS = ("sae latents", "linear probe")


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
        if (r["method"], r["bandwidth"]) == (METHOD, h)
    }
    usage = {(r["site"], r["feature"]): r["verdict"] for r in rows(run / "causal" / "used.parquet")}
    features = list(dict.fromkeys(feature for (_, feature), row in scores.items() if row["corrected"] is not None))

    def line(site: str) -> list[str]:
        cells = [cell(scores.get((site, feature)), "corrected") for feature in features]
        used = [usage[site, feature] == "encoded and used" for feature in features]
        ess = min(scores[site, feature]["ess"] for feature in features)
        return [f"`{site}`", *(f"**{c}**" if u else c for c, u in zip(cells, used, strict=True)), f"{ess:.0f}"]

    return table(["site", *features, "ESS"], map(line, dict.fromkeys(site for site, _ in usage)))


def heads(run: Path, h: float) -> list[Row]:
    scores = rows(run / "score" / "results.parquet")
    kept = [r for r in scores if (r["method"], r["bandwidth"], r["point"]) == (METHOD, h, "z")]
    return [row for row in kept if row["corrected"] is not None]


def best_heads(scores: Sequence[Row]) -> str:
    """The five heads with the highest lower end of the interval, for each feature."""

    def line(feature: str) -> list[str]:
        mine = sorted((r for r in scores if r["feature"] == feature), key=lambda r: -r["corrected_low"])[:5]
        return [feature, ", ".join(f"{r['layer']}.{r['head']}: {cell(r, 'corrected')}" for r in mine)]

    return table(["feature", "heads"], map(line, dict.fromkeys(row["feature"] for row in scores)))


def head_maps(scores: Sequence[Row], path: Path, h: float) -> None:
    """A map of layers and heads for each feature."""
    features = list(dict.fromkeys(row["feature"] for row in scores))
    figure, every = plt.subplots(-(-len(features) // 2), 2, figsize=(8, 1.25 * -(-len(features) // 2)), squeeze=False)
    shared = ScalarMappable(Normalize(0, 1), "YlGnBu")
    for axes in every.flat[len(features) :]:
        axes.axis("off")
    for axes, feature in zip(every.flat, features, strict=False):
        mine = [row for row in scores if row["feature"] == feature]
        grid = np.full((1 + max(r["head"] for r in mine), 1 + max(r["layer"] for r in mine)), np.nan)
        for row in mine:
            grid[row["head"], row["layer"]] = row["corrected"]
        axes.imshow(grid, norm=shared.norm, cmap=shared.cmap, aspect="auto", interpolation="nearest")
        axes.set_title(feature, fontsize=9, loc="left")
        axes.set_yticks([])
    figure.supxlabel(f"layer (rows: heads); corrected score at h = {h}", fontsize=9)
    figure.tight_layout()
    figure.colorbar(shared, ax=every, shrink=0.6)
    figure.savefig(path, bbox_inches="tight", metadata=UNNAMED)


def arena(folder: Path) -> str:
    """Methods by what they identify; then site by site."""
    arena = load_arena(folder)
    overall = [
        [
            f"**{name}**" if name.startswith("ours") else name + (" †" if arena.method(name)["supervised"] else ""),
            *(cell(arena.results[name, None, None], column) for column in ("accuracy", "corrected")),
            cell(arena.results[name, None, None], "causal_agreement"),
            f"{arena.results[name, None, None]['silent'] / arena.results[name, None, None]['answers']:.0%}",
        ]
        for name in arena.methods
    ]
    pairs = {
        (row["site"], frozenset((row["one"], row["other"]))): row
        for row in rows(folder / "pairs.parquet")
        if row["site"] and (row["feature"], row["measure"]) == (None, "accuracy")
    }
    compared = [name for name in COMPARED if name in arena.methods]
    by_site = [
        [
            f"`{site}`",
            *(cell(arena.results.get((name, site, None)), "accuracy") for name in compared),
            *(ahead(pairs.get((site, frozenset(("ours", other)))), other) for other in RIVALS),
        ]
        for site in arena.study["sites"]
    ]
    head = ["method", "identified", "corrected", "causal agreement", "silent"]
    return table(head, overall) + "\n" + table(["site", *compared, *(f"ours − {other}" for other in RIVALS)], by_site)


def ahead(pair: Row | None, other: str) -> str:
    """The paired difference of ours over the other, with its q-value."""
    if pair is None or pair["difference"] is None:
        return "–"
    sign = 1 if pair["other"] == other else -1
    low, high = sorted((sign * pair["difference_low"], sign * pair["difference_high"]))
    q = "" if pair["q"] is None else ", q < 0.001" if pair["q"] < 0.001 else f", q = {pair['q']:.3f}"
    return f"{sign * pair['difference']:+.2f} [{low:+.2f}, {high:+.2f}]{q}"


def picture(run: Path, h: float, path: Path) -> None:
    """A line and its interval for every feature over the layers of the residual stream; dots: the generator's weighted
    samples."""
    scores = [r for r in rows(run / "score" / "results.parquet") if r["bandwidth"] == h and r["point"] == "resid_post"]
    figure, axes = plt.subplots(figsize=(8, 3.6))
    scores = [row for row in scores if row["corrected"] is not None]
    for colour, feature in enumerate(dict.fromkeys(row["feature"] for row in scores)):
        mine = [row for row in scores if row["feature"] == feature]
        line = sorted((r for r in mine if r["method"] == METHOD), key=lambda r: r["layer"])
        layers, low, high = ([r[k] for r in line] for k in ("layer", "corrected_low", "corrected_high"))
        axes.plot(layers, [r["corrected"] for r in line], color=f"C{colour}", label=feature)
        axes.fill_between(layers, low, high, color=f"C{colour}", alpha=0.15, linewidth=0)
        dots = [(r["layer"], r["corrected"]) for r in mine if r["method"] == "weighted"]
        axes.scatter(*zip(*dots, strict=True), color=f"C{colour}", s=14, zorder=3)
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set(xlabel="layer", ylabel=f"corrected score at h = {h}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, bbox_inches="tight", metadata=UNNAMED)


def main() -> None:
    run, path, h = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    plt.rcParams.update({"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10, "svg.hashsalt": "0"})
    picture(run, h, path)
    print(profile(run, h))
    if by_head := heads(run, h):
        head_maps(by_head, path.with_stem(f"{path.stem}-heads"), h)
        print(best_heads(by_head))
    if len(sys.argv) > 4:
        print(arena(Path(sys.argv[4])))


if __name__ == "__main__":
    main()
