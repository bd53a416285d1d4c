"""P(x; ẑ, s, h) over the pool: exact where the pool is the whole prior, else an estimate as good as its effective size.

Dimensions: `targets` inputs of the pool that stand in for targets, `pool` inputs, `d` coordinates of a site.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from inversescope.collect.distance import Distance
from inversescope.collect.inputs import KnownInputs
from inversescope.collect.store import Store
from inversescope.sites import Site
from inversescope.stats import weights
from inversescope.streams import Stream
from inversescope.verdicts import ACCEPTED, TRUSTED, acceptance_counts


@dataclass(frozen=True)
class Typical:
    """Distances to one target that are typical at a bandwidth: medians over the reference and over the prior.

    Attributes:
        reference: None where too few inputs were read for a reference.
        near: the same over the pool alone, however small: a draw as near as this is near. Known inputs may hold the
            source itself; where it has most of the weight, no other input would be near.
        prior: the same for any input.
        acceptance_counts: acceptance has a meaning (`verdicts.acceptance_counts`).
    """

    reference: float | None
    near: float
    prior: float
    acceptance_counts: bool


def typical(
    store: Store, known: KnownInputs | None, site: Site, target: Float[Tensor, "1 d"], bandwidth: float
) -> Typical:
    """Distances of the inputs of the reference to an activation, as the posterior and the prior weigh them."""
    pool, activations = store.inputs("pool"), store.activations("pool", site)
    probability = pool.probability
    if known is not None:
        activations = torch.cat((activations, known_activations(store, known, site)))
        probability = known.shares
    from_target = store.distance(site).between(activations, target)[:, 0].double().numpy()
    shares = store.kernel.posterior(from_target[None], bandwidth, np.log(probability))[0]
    trusted = pool.exact or bool(weights.effective_sample_size(shares) >= TRUSTED)
    from_pool = from_target[None, : len(pool)]
    near = weights.weighted_medians(from_pool, posterior(store, from_pool, bandwidth))
    return Typical(
        weights.weighted_median(from_target, shares) if trusted else None,
        float(near[0]),
        weights.weighted_median(from_target, probability),
        acceptance_counts(bandwidth, float(shares[from_target <= ACCEPTED].sum()), trusted, store.noise_floor(site)),
    )


def known_activations(store: Store, known: KnownInputs, site: Site) -> Float[Tensor, "known d"]:
    """Activations of the known inputs, in their order."""
    of_split = {split: store.activations(split, site) for split in dict.fromkeys(split for split, _ in known.rows)}
    return torch.stack([of_split[split][row] for split, row in known.rows])


def posterior(
    store: Store, distances: Float[ndarray, "targets pool"], bandwidth: float
) -> Float[ndarray, "targets pool"]:
    """P(x; ẑ, s, h) over the inputs of the pool: exact where the pool is the whole prior, else its estimate."""
    return store.kernel.posterior(distances, bandwidth, store.inputs("pool").log_prior)


def stand_ins(store: Store, count: int, seed: int) -> list[int]:
    """Inputs of the pool that stand in for targets, drawn from the prior: the targets themselves stay unseen."""
    rng, pool = Stream.STAND_INS.rng(seed), store.inputs("pool")
    if not pool.exact:
        return rng.permutation(len(pool))[:count].tolist()
    return rng.choice(len(pool), count, p=pool.probability).tolist()


def distances(
    store: Store, distance: Distance, site: Site, targets: Sequence[int], activations: Float[Tensor, "targets d"]
) -> Float[ndarray, "targets pool"]:
    """δ of the pool from activations of stand-ins, noised or not. An input that was drawn is left out of its own
    posterior, where it would be counted twice; one of the whole prior is part of it.
    """
    pool = store.inputs("pool")
    found = distance.by_products(store.activations("pool", site), activations)
    if not store.exact:
        number = {tokens: row for row, tokens in enumerate(pool.tokens)}
        same = np.array([number[tokens] for tokens in pool.tokens])
        found[same[list(targets)][:, None] == same[None]] = np.inf
    return found
