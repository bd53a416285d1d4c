"""Which bandwidths mean anything at a site: from one neighbour to the prior, found from the pool."""

from __future__ import annotations

import numpy as np

from inversescope.collect.collect import Store
from inversescope.collect.posterior import distances, log_prior, posterior, stand_ins
from inversescope.sites import Site
from inversescope.stats.weights import effective_sample_size, normalise

PROBES = 32  # inputs of the pool that stand in for targets
ONE = 1.5  # effective sample size up to which one neighbour decides
NEARLY_ALL = 0.9  # of the prior's own effective sample size
GRID = np.geomspace(1e-3, 30, 46)  # radii in δ; unrelated inputs are about √2 apart


def supported(store: Store, site: Site, seed: int) -> tuple[float, float]:
    """The bandwidths from which one neighbour decides to where nearly the prior is left, as medians over stand-ins."""
    targets = stand_ins(store, PROBES, seed)
    measured = distances(store, site, targets, store.activations("pool", site)[targets])
    sizes = np.array([np.median(effective_sample_size(posterior(store, measured, h))) for h in GRID])
    everything = float(effective_sample_size(normalise(log_prior(store)[None]))[0])
    one, most = np.flatnonzero(sizes <= ONE), np.flatnonzero(sizes >= NEARLY_ALL * everything)
    return float(GRID[one[-1] if len(one) else 0]), float(GRID[most[0] if len(most) else -1])
