"""Bandwidth range of a site's noise channel: from one neighbour to the prior, found on the pool."""

from __future__ import annotations

import numpy as np

from inversescope.collect.posterior import distances, stand_ins
from inversescope.collect.store import Store
from inversescope.sites import Site
from inversescope.stats.kernel import Kernel
from inversescope.stats.weights import effective_sample_size, normalise

STAND_INS = 32  # inputs of the pool in place of targets
ONE_NEIGHBOUR = 1.5  # effective sample size up to which a posterior counts as one neighbour
PRIOR_SHARE = 0.9  # of the prior's effective sample size, from which a posterior counts as the prior
GRID = np.geomspace(1e-3, 30, 46)  # radii in δ; unrelated inputs are about √2 apart


def bandwidth_range(store: Store, site: Site, seed: int) -> tuple[float, float]:
    """Lowest and highest useful bandwidth: the last with one neighbour, the first with nearly the prior.

    Effective sample sizes are medians over stand-ins for targets.
    """
    targets = stand_ins(store, STAND_INS, seed)
    from_targets = distances(store, store.channel(site), site, targets, store.activations("pool", site)[targets])
    log_prior = store.inputs("pool").log_prior
    posteriors = (Kernel.GAUSSIAN.posterior(from_targets, h, log_prior) for h in GRID)
    sizes = np.array([np.median(effective_sample_size(posterior)) for posterior in posteriors])
    prior_size = float(effective_sample_size(normalise(log_prior[None]))[0])
    one, nearly_prior = np.flatnonzero(sizes <= ONE_NEIGHBOUR), np.flatnonzero(sizes >= PRIOR_SHARE * prior_size)
    low, high = one[-1] if len(one) else 0, nearly_prior[0] if len(nearly_prior) else -1
    return float(GRID[low]), float(GRID[high])
