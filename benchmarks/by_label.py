"""Labels of a feature, one by one, over the sites: for in-context learning, the layers that encode each task.

    python benchmarks/by_label.py RUN FEATURE N

From the finished run's pool, at the generator's sites, where one input in N of the prior remains: for every label up to
40 inputs of the pool stand in for targets, each compared with all the others, and the corrected score is of these. In
bold where a label's score is largest. Prints Markdown.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy import ndarray
from rich.progress import track

from inversescope.collect.store import Store
from inversescope.records.levels import pick
from inversescope.run.run import Run
from inversescope.sites import Site
from inversescope.stats import intervals
from inversescope.stats.intervals import Estimate
from inversescope.stats.kernel import Kernel
from inversescope.stats.weights import normalise

STAND_INS = 40


def main() -> None:
    run, feature, resolution = Run.open(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    store = Store(run.folder / "collect")
    pool = np.array(store.inputs("pool").labels[feature], dtype=object)
    known = [label for label in sorted(set(pool) - {None}) if (pool == label).sum() > 1]
    bandwidths = {site: pick(run.levels[site], resolution, None).bandwidth for site in run.sites["train"]}
    print(f"| site | {' | '.join(known)} |\n|{'---|' * (len(known) + 1)}")
    scores = {
        site: [score(store, site, pool, label, bandwidths[site]) for label in known]
        for site in track(run.sites["train"])
    }
    best = [max(row[column].value for row in scores.values()) for column in range(len(known))]
    for site, row in scores.items():
        cells = [f"{each.value:.2f} [{each.low:.2f}, {each.high:.2f}]" for each in row]
        cells = [f"**{c}**" if each.value == b else c for c, each, b in zip(cells, row, best, strict=True)]
        print(f"| `{site}` | {' | '.join(cells)} |")


def score(store: Store, site: Site, pool: ndarray, label: str, bandwidth: float) -> Estimate:
    """Over the inputs of one label, none of which counts as its own neighbour."""
    places = np.flatnonzero(pool == label)[:STAND_INS]
    activations = store.activations("pool", site)
    distances = store.distance(site).between(activations, activations[places]).T.numpy()
    distances[np.arange(len(places)), places] = np.inf
    weights = normalise(np.where(pool == None, -np.inf, Kernel.GAUSSIAN.log(distances, bandwidth)))  # noqa: E711 - elementwise
    consistency = (weights * (pool == label)).sum(1)
    chance = ((pool == label).sum() - 1) / ((pool != None).sum() - 1)  # noqa: E711
    return intervals.corrected(consistency, np.full(len(places), chance))


if __name__ == "__main__":
    main()
