"""The tables and the picture of a study's page, at one resolution: `pip install matplotlib`, then

    python docs/make_study.py RUN PICTURE.svg N [ARENA]

Sites are compared where one input in N of the prior remains, N as in the config. Prints Markdown: for every feature at
the generator's sites the reference's corrected score among inputs other than the source, beside the score of inputs
with the same ending; the heads with the highest scores; verdicts on the generator, at every resolution; with an arena,
the share of labels identified. In bold: encoded and used. A site with `*`: a hash of the input is
above chance there too. In brackets: too few inputs of the pool. The picture has every layer; where heads were read,
another one has them (PICTURE-heads.svg).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from inversescope.report.arena import load_arena

Row = dict[str, Any]
METHOD, NULL, ENDING = "reference", "null feature", "same ending"
UNNAMED = dict.fromkeys(("Creator", "Date", "Format", "Type"))  # the same picture each time
COMPARED = ("ours", "inversionview", "nearest", "linear probe", "sae latents", "all latents")
RIVALS = ("sae latents", "all latents", "linear probe")
VERDICTS = ("calibrated", "copies", "undertrained", "cannot tell")


def rows(path: Path) -> list[Row]:
    return pq.read_table(path).to_pylist()


def cell(row: Row | None, name: str) -> str:
    """An estimate with its interval; a dash where it is undefined."""
    if row is None or row[name] is None:
        return "–"
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    text = f"{row[name]:.2f}" if low is None else f"{row[name]:.2f} [{low:.2f}, {high:.2f}]"
    return text.replace("-", "−")


def marked(row: Row | None, used: bool) -> str:
    """The score among other inputs, with the marks of the page."""
    text = cell(row, "others")
    if row is None or text == "–":
        return text
    text = f"**{text}**" if used else text
    return text if row["trusted"] else f"({text})"


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    body = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in body) + "\n"


def at_resolution(run: Path, resolution: float) -> list[Row]:
    """Scores at a resolution, of features that are defined somewhere."""
    scores = rows(run / "score" / "results.parquet")
    chosen = [row for row in scores if row["resolution"] == resolution]
    if not chosen:
        known = sorted({row["resolution"] for row in scores} - {None}, reverse=True)
        sys.exit(f"no scores at 1 in {resolution:g}; the run has {', '.join(f'{n:g}' for n in known) or 'bandwidths'}")
    defined = {row["feature"] for row in chosen if row["method"] == METHOD and row["corrected"] is not None}
    return [row for row in chosen if row["feature"] in defined]


def named(scores: Sequence[Row], method: str) -> dict[tuple[str, str], Row]:
    return {(row["site"], row["feature"]): row for row in scores if row["method"] == method}


def profile(run: Path, scores: Sequence[Row]) -> str:
    """Features by site, the null feature last; then h, the source's share of the weight, and the smallest number of
    inputs that the site's scores rest on.
    """
    found, usage = named(scores, METHOD), rows(run / "causal" / "used.parquet")
    used = {(row["site"], row["feature"]) for row in usage if row["verdict"] == "encoded and used"}
    features = sorted(dict.fromkeys(feature for _, feature in found), key=lambda name: name == NULL)
    sites = [row["site"] for row in rows(run / "score" / "diagnostics.parquet")]

    def line(site: str) -> list[str]:
        own = [found[site, feature] for feature in features if (site, feature) in found]
        if not own:
            return [f"`{site}`", *["–"] * (len(features) + 3)]
        cells = [marked(found.get((site, feature)), (site, feature) in used) for feature in features]
        source = max((row["source_weight"] or 0.0 for row in own), default=0.0)
        inputs = min(row["ess"] or 0.0 for row in own)
        name = f"`{site}`" + ("*" if any(row["null_passes"] for row in own) else "")
        return [name, *cells, f"{own[0]['bandwidth']:.2f}", f"{source:.2f}", f"{inputs:.0f}"]

    return table(
        ["site", *features, "h", "source", "inputs"],
        [*map(line, dict.fromkeys(sites)), [ENDING, *(ending(scores, feature) for feature in features), "", "", ""]],
    )


def ending(scores: Sequence[Row], feature: str) -> str:
    """Scores of inputs with the same last tokens, from the least of the sites to the largest."""
    kept = [row["corrected"] for (_, name), row in named(scores, ENDING).items() if name == feature]
    values = [value for value in kept if value is not None]
    return f"{min(values):.2f} to {max(values):.2f}".replace("-", "−") if values else "–"


def verdicts(run: Path) -> str:
    """Verdicts on the generator for clean targets, by resolution; the source and new inputs among its draws."""
    found, draws = rows(run / "calibrate" / "calibration.parquet"), rows(run / "score" / "diagnostics.parquet")
    lines = []
    for resolution in dict.fromkeys(row["resolution"] for row in found):
        counts = Counter(r["verdict"] for r in found if (r["resolution"], r["query"]) == (resolution, "clean"))
        own = [row for row in draws if row["resolution"] == resolution]
        shares = [[row[name] for row in own if row[name] is not None] for name in ("source_draws", "source_weight")]
        spread = [f"{min(each):.2f} to {max(each):.2f}" if each else "–" for each in shares]
        bandwidths = [row["bandwidth"] for row in own]
        h = f"{min(bandwidths):.2f} to {max(bandwidths):.2f}" if bandwidths else "–"
        lines.append([f"1 in {resolution:g}", h, *(str(counts[name]) for name in VERDICTS), *spread])
    return table(["resolution", "h", *VERDICTS, "draws that are the source", "its weight"], lines)


def heads(scores: Sequence[Row]) -> list[Row]:
    return [row for row in scores if (row["method"], row["point"]) == (METHOD, "z") and row["feature"] != NULL]


def best_heads(scores: Sequence[Row]) -> str:
    """The five heads with the highest lower end of the interval, for each feature."""

    def line(feature: str) -> list[str]:
        mine = [row for row in scores if row["feature"] == feature and row["others_low"] is not None]
        mine.sort(key=lambda row: -row["others_low"])
        return [feature, ", ".join(f"{r['layer']}.{r['head']}: {marked(r, False)}" for r in mine[:5])]

    return table(["feature", "heads"], map(line, dict.fromkeys(row["feature"] for row in scores)))


def head_maps(scores: Sequence[Row], path: Path, resolution: float) -> None:
    """A map of layers and heads for each feature."""
    plt = pyplot()
    features = list(dict.fromkeys(row["feature"] for row in scores))
    figure, every = plt.subplots(-(-len(features) // 2), 2, figsize=(8, 1.25 * -(-len(features) // 2)), squeeze=False)
    drawn = None
    for axes in every.flat[len(features) :]:
        axes.axis("off")
    for axes, feature in zip(every.flat, features, strict=False):
        mine = [row for row in scores if row["feature"] == feature]
        grid = np.full((1 + max(r["head"] for r in mine), 1 + max(r["layer"] for r in mine)), np.nan)
        for row in mine:
            grid[row["head"], row["layer"]] = np.nan if row["others"] is None else row["others"]
        drawn = axes.imshow(grid, vmin=0, vmax=1, cmap="YlGnBu", aspect="auto", interpolation="nearest")
        axes.set_title(feature, fontsize=9, loc="left")
        axes.set_yticks([])
    figure.supxlabel(f"layer (rows: heads); score among other inputs, 1 in {resolution:g}", fontsize=9)
    figure.tight_layout()
    figure.colorbar(drawn, ax=every, shrink=0.6)
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


def picture(scores: Sequence[Row], path: Path, resolution: float) -> None:
    """A line and its interval for every feature over the layers of the residual stream; dots: the generator's weighted
    samples, without those that the verdict does not count.
    """
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(8, 3.6))
    kept = [row for row in scores if row["point"] == "resid_post" and row["others"] is not None]
    for number, feature in enumerate(sorted(dict.fromkeys(row["feature"] for row in kept), key=lambda f: f == NULL)):
        colour, style = ("black", ":") if feature == NULL else (f"C{number}", "-")
        mine = [row for row in kept if row["feature"] == feature]
        line = sorted((r for r in mine if r["method"] == METHOD), key=lambda r: r["layer"])
        layers, low, high = ([r[k] for r in line] for k in ("layer", "others_low", "others_high"))
        axes.plot(layers, [r["others"] for r in line], color=colour, linestyle=style, label=feature)
        axes.fill_between(layers, low, high, color=colour, alpha=0.15, linewidth=0)
        dots = [r for r in mine if r["method"] == "weighted" and r["verdict"] not in ("copies", "undertrained")]
        axes.scatter([r["layer"] for r in dots], [r["others"] for r in dots], color=colour, s=14, zorder=3)
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set(xlabel="layer", ylabel=f"score among other inputs, 1 in {resolution:g}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, bbox_inches="tight", metadata=UNNAMED)


def pyplot() -> Any:
    """The plotting library, imported only where a picture is made."""
    import matplotlib.pyplot as plt  # pyright: ignore[reportMissingImports]

    plt.rcParams.update({"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10, "svg.hashsalt": "0"})
    return plt


def main() -> None:
    run, path, resolution = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    scores = at_resolution(run, resolution)
    picture(scores, path, resolution)
    print(profile(run, scores))
    if by_head := heads(scores):
        head_maps(by_head, path.with_stem(f"{path.stem}-heads"), resolution)
        print(best_heads(by_head))
    print(verdicts(run))
    if len(sys.argv) > 4:
        print(arena(Path(sys.argv[4])))


if __name__ == "__main__":
    main()
