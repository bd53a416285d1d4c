"""Distances of stored inputs to their nearest other input, and the activations that are farther than those.

Dimensions: `n` activations, `d` coordinates of a site.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from safetensors.numpy import load_file
from torch import Tensor

from inversescope import files, records
from inversescope.collect.store import Store
from inversescope.sites import Site
from inversescope.streams import Stream
from inversescope.tasks import Tokens
from inversescope.verdicts import Outside, outside

MEASURED = 1024  # inputs of the pool whose nearest other input is measured: a rank of one in a hundred needs no more
BLOCK = 2**24  # distances in memory at a time


def nearest_others(store: Store, site: Site, seed: int) -> tuple[Float[Tensor, " pool"], Float[Tensor, " targets"]]:
    """At a site, the distances of inputs of the pool to their nearest other input, rising, and those of the targets."""
    pool, targets = store.inputs("pool"), store.inputs("target").tokens
    drawn = Stream.NEAREST.rng(seed).permutation(len(pool))[:MEASURED].tolist()
    if pool.exact:
        drawn = Stream.NEAREST.rng(seed).choice(len(pool), MEASURED, p=pool.probability).tolist()
    measured = [pool.tokens[row] for row in drawn]
    own = nearest(store, site, measured, store.activations("pool", site)[drawn])
    of_targets = nearest(store, site, targets, store.activations("target", site))
    return torch.from_numpy(np.sort(own[np.isfinite(own)])), torch.from_numpy(of_targets)


def write_nearest(
    folder: Path, store: Store, measured: Mapping[Site, tuple[Float[Tensor, " pool"], Float[Tensor, " targets"]]]
) -> None:
    """Write the distances that `nearest_others` measured at each site, and the verdict on every target."""
    rows = []
    for site, (of_pool, of_targets) in measured.items():
        own, floor = of_pool.numpy(), store.noise_floor(site)
        for target, distance in enumerate(of_targets.tolist()):
            rows.append({"site": str(site), "target": target, **vars(outside(distance, own, floor))})
    tensors = {str(site): of_pool for site, (of_pool, _) in measured.items()}
    files.write_tensors(folder / records.collect.NEAREST.name, tensors)
    files.write_table(folder / records.collect.TARGETS.name, records.collect.TARGETS.of(rows))


def nearest(
    store: Store, site: Site, inputs: Sequence[Tokens], activations: Float[Tensor, "n d"]
) -> Float[ndarray, " n"]:
    """δ of activations to the nearest input of the pool other than their own input; infinite where there is none."""
    pool, delta = store.activations("pool", site), store.distance(site)
    number = {tokens: row for row, tokens in enumerate(store.inputs("pool").tokens)}
    same = torch.tensor([number[tokens] for tokens in store.inputs("pool").tokens])
    own = torch.tensor([number.get(tokens, -1) for tokens in inputs])
    other, found = delta.coordinates(pool), []
    squares = (other**2).sum(1)
    for start in range(0, len(inputs), max(1, BLOCK // len(pool))):
        part = slice(start, start + max(1, BLOCK // len(pool)))
        # By matrix products, but for the constant of each row; the distance itself is computed without them.
        ranks = squares - 2 * delta.coordinates(activations[part]) @ other.T
        ranks[own[part, None] == same] = torch.inf
        least = ranks.min(1)
        distance = delta.paired(pool[least.indices], activations[part])
        found.append(distance.masked_fill(least.values.isinf(), torch.inf))
    return torch.cat(found).double().numpy()


def read_outside(run: Path, store: Store, site: Site, activation: Float[Tensor, "1 d"]) -> Outside:
    """The verdict on any activation; one of an input of the pool is inside, as its own input is the nearest."""
    stored = load_file(files.verified(run / records.collect.NEAREST.path))[str(site)]
    distance = store.distance(site).between(store.activations("pool", site), activation).min()
    return outside(float(distance), stored, store.noise_floor(site))
