"""Change of the next token under the activation of a near input, for each distance at equal information.

    python benchmarks/distances.py RUN SITE...

RUN has read every input of its prior (`collect.pool = "all"`). Around each of 48 targets, 8 other inputs are drawn with
the weights of a distance and a kernel, at the bandwidth that leaves one input in N of the prior, and their activations
are put in place of the target's own. A number is the mean KL divergence of the next token from the undisturbed run,
over that of a random input; 0 means that neighbours are to the model what the target is. Intervals are over targets,
those of a difference too: of a distance from the standardized one, at the same targets. Beside it stands the number of
inputs in InversionView's ε-preimage.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from rich.console import Console
from rich.table import Table

from inversescope.causal.next_token import divergences
from inversescope.collect.bandwidths import Remaining, bandwidth_at
from inversescope.collect.posterior import distances, stand_ins
from inversescope.collect.store import Store
from inversescope.config import NeighbourhoodConfig
from inversescope.run.run import Run
from inversescope.sites import Site
from inversescope.stats.intervals import Estimate
from inversescope.stats.kernel import Kernel
from inversescope.stats.resampling import ratio
from inversescope.subject.patching import Source

TARGETS, DRAWS, RESOLUTIONS, SEED = 48, 8, (64, 8), 23
EPSILON, PREIMAGE = 0.1, NeighbourhoodConfig(distance="relative", kernel=Kernel.BALL)  # InversionView's
CHOICES = [
    NeighbourhoodConfig(distance=name, kernel=kernel)
    for kernel, name in product(Kernel, ("standardized", "euclidean", "cosine", "relative"))
]


def main() -> None:
    run, sites = Run.open(Path(sys.argv[1])), [Site.parse(name) for name in sys.argv[2:]]
    assert run.store.exact, "every input of the prior must have been read"
    torch.manual_seed(SEED)
    targets = stand_ins(run.store, TARGETS, SEED)
    sources = [Source(run.subject, run.store.inputs("pool").tokens[row]) for row in targets]
    table = Table("site", "1 in", "distance", "kernel", "h", "KL over a random input's", "minus standardized, gaussian")
    for site in sites:
        effects = Effects(run, site, sources)
        chance = effects.of(np.random.default_rng(SEED).choice(len(run.store.inputs("pool")), (TARGETS, DRAWS)))
        for resolution in RESOLUTIONS:
            base: ndarray | None = None
            for choice, bandwidth, chosen in drawn(run, site, targets, resolution):
                found = effects.of(chosen)
                base = found if base is None else base
                apart = ratio(found - base, chance, SEED)
                table.add_row(
                    *(str(site), str(resolution), choice.distance, choice.kernel, f"{bandwidth:.3f}"),
                    *map(shown, (ratio(found, chance, SEED), apart)),
                )
        store = Store(run.folder / "collect", PREIMAGE)
        held = Remaining.of(store, run.task, site, SEED).pool_inputs(EPSILON)
        print(f"{site}: {held:.0f} inputs within {EPSILON} by the relative distance, median over stand-ins", flush=True)
    Console(width=130).print(table)


def drawn(
    run: Run, site: Site, targets: list[int], resolution: float
) -> Iterator[tuple[NeighbourhoodConfig, float, ndarray]]:
    """Bandwidth of each choice, and other inputs drawn for each target."""
    for choice in CHOICES:
        store = Store(run.folder / "collect", choice)
        bandwidth = bandwidth_at(Remaining.of(store, run.task, site, SEED), site, resolution)
        far = distances(store, store.distance(site), site, targets, store.activations("pool", site)[targets])
        far[np.arange(len(targets)), targets] = np.inf
        weights = store.kernel.posterior(far, bandwidth, store.inputs("pool").log_prior)
        rng = np.random.default_rng(SEED)
        # A ball that holds no other input gives the nearest one.
        weights[~weights.any(1), far[~weights.any(1)].argmin(1)] = 1
        yield choice, bandwidth, np.array([rng.choice(len(row), DRAWS, p=row) for row in weights])


class Effects:
    """KL of the next token under the activations of inputs of the pool, mean over those of a target."""

    def __init__(self, run: Run, site: Site, sources: list[Source]):
        self._site, self._sources = site, sources
        self._pool = run.store.activations("pool", site)
        self._known: dict[tuple[int, int], float] = {}
        self._undisturbed = [source.logits([{}])[0].log_softmax(0) for source in sources]

    def of(self, rows: ndarray) -> Float[ndarray, " targets"]:
        """The mean of each target; an input is run once."""
        for target, (source, own) in enumerate(zip(self._sources, self._undisturbed, strict=True)):
            new = sorted({row for row in rows[target].tolist() if (target, row) not in self._known})
            if new:
                found = divergences(own, source.logits([{self._site: self._pool[row]} for row in new])).tolist()
                self._known |= {(target, row): value for row, value in zip(new, found, strict=True)}
        return np.array([[self._known[target, row] for row in of.tolist()] for target, of in enumerate(rows)]).mean(1)


def shown(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


if __name__ == "__main__":
    main()
