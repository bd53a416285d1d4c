"""Bandwidths of a whole prior at several resolutions, beside those found on pools of draws: `python
benchmarks/resolution.py COLLECT SITE...`.

COLLECT is the folder `collect` of a run with `pool = "all"`, whose inputs are equally likely. Prints for each site and
resolution N the bandwidth h by all inputs, the mean h of three pools of 2,500 draws, and the N that these have by all
inputs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from inversescope.collect.bandwidths import STAND_INS, Remaining, bandwidth_at
from inversescope.collect.store import Store
from inversescope.sites import Site
from inversescope.stats.kernel import Kernel

RESOLUTIONS = (512, 64, 8)
POOLS, SIZE = 3, 2500


def main() -> None:
    store, sites = Store(Path(sys.argv[1])), [Site.parse(name) for name in sys.argv[2:]]
    for site in sites:
        units = store.units(site)
        z = units.standardize(store.activations("pool", site)) / units.dimension**0.5
        chosen = np.random.default_rng(POOLS).permutation(len(z))[: 2 * STAND_INS]
        probability, own = store.inputs("pool").probability, np.zeros(len(chosen))
        whole = Remaining(distances(z[chosen], z), probability, own, True, Kernel.GAUSSIAN)
        for resolution in RESOLUTIONS:
            found = [bandwidth_at(pool(z, seed), site, resolution) for seed in range(POOLS)]
            reached = np.mean([1 / whole.share(h) for h in found])
            exact = bandwidth_at(whole, site, resolution)
            print(f"{site} N {resolution}: h {exact:.3f}, of pools {np.mean(found):.3f}, where N is {reached:.0f}")


def pool(z: torch.Tensor, seed: int) -> Remaining:
    """A pool of draws, all inputs of the prior equally likely."""
    drawn = z[np.random.default_rng(seed).permutation(len(z))[:SIZE]]
    from_drawn = distances(drawn[:STAND_INS], drawn)
    from_drawn[np.arange(STAND_INS), np.arange(STAND_INS)] = np.inf
    return Remaining(from_drawn, np.full(SIZE, 1 / SIZE), np.full(STAND_INS, 1 / len(z)), False, Kernel.GAUSSIAN)


def distances(some: torch.Tensor, others: torch.Tensor) -> np.ndarray:
    return torch.cdist(some, others, compute_mode="donot_use_mm_for_euclid_dist").double().numpy()


if __name__ == "__main__":
    main()
