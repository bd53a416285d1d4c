"""Methods that only look up: the pool weighted by distance, and its nearest inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from inversescope.arena.cost import Cost
from inversescope.arena.method import Answer, Kind, counted
from inversescope.arena.study import Study
from inversescope.progress import Progress
from inversescope.score.methods_and_controls import from_pool
from inversescope.score.pool import SitePool


@dataclass(frozen=True)
class Retrieved:
    """Inputs of the pool, whose activations are stored: `reference` weighs all of them by the kernel, `nearest` counts
    the nearest.
    """

    name: str
    sees: str = "a pool of inputs with their activations"
    kind: Kind = "samples"
    supervised: bool = False

    def answer(self, study: Study, folder: Path, cost: Cost, progress: Progress) -> Iterator[Answer]:
        """The labels of the pool's inputs, from the distances that the run measured."""
        cost.spent_by_run(0.0, study.spent("reference"))
        store, features = study.run.store, study.features
        sources = study.are_sources(store.inputs("pool").tokens)
        for site in study.sites:
            bandwidths = study.bandwidths(site)
            pool = SitePool.of(study.distances[site], study.probability, store.exact, bandwidths, store.kernel)
            for inputs in from_pool(site, pool, features, sources):
                if inputs.method == self.name:
                    yield from counted(inputs, features, cost)
