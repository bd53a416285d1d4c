"""Bandwidth of a site at a resolution, found on the pool.

The share of the prior that remains at a bandwidth is E[k]² / E[k²], with k the kernel weight of an input drawn from the
prior. For weights of 0 and 1 it is the probability of what is left; for a pool that is the whole prior, all inputs
equally likely, it is the posterior's effective number of inputs over the prior's.

Dimensions: `targets` stand-ins for targets, `pool` inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.optimize import root_scalar

from inversescope import files, records
from inversescope.collect.distance import Distance
from inversescope.collect.posterior import distances, stand_ins
from inversescope.collect.store import Store
from inversescope.errors import UserError
from inversescope.records.levels import Level, of_row, pick
from inversescope.sites import Site
from inversescope.stats.kernel import Kernel
from inversescope.stats.weights import effective_sample_size
from inversescope.tasks import Task
from inversescope.verdicts import MEASURABLE, TRUSTED

STAND_INS = 64  # inputs of the pool in place of targets
RANGE = (1e-4, 100.0)  # radii in δ; unrelated inputs are about √2 apart
PRECISION = 1e-3  # of ln h
ENUMERATED = 200_000  # inputs of a prior that are counted at most


@dataclass(frozen=True)
class Remaining:
    """Stand-ins for targets at one site, and the part of the prior that remains around them at a bandwidth.

    Attributes:
        distances: δ to the pool; infinite to the stand-in itself, where the pool is draws.
        probability: P of the pool's inputs; all alike where they are draws.
        own: P of each stand-in, where the pool is draws; 0 where that is not known.
        exact: the pool is the whole prior, and holds the stand-ins.
        kernel: gives the weights.
    """

    distances: Float[ndarray, "targets pool"]
    probability: Float[ndarray, " pool"]
    own: Float[ndarray, " targets"]
    exact: bool
    kernel: Kernel

    @classmethod
    def of(cls, store: Store, task: Task, site: Site, seed: int) -> Remaining:
        """By the run's distance and kernel, at inputs of the pool, the same at every site."""
        return cls._by(store, task, site, seed, store.distance(site), store.kernel)

    @classmethod
    def of_channel(cls, store: Store, task: Task, site: Site, seed: int) -> Remaining:
        """The same by the generator's noise channel."""
        return cls._by(store, task, site, seed, store.channel(site), Kernel.GAUSSIAN)

    @classmethod
    def _by(cls, store: Store, task: Task, site: Site, seed: int, distance: Distance, kernel: Kernel) -> Remaining:
        chosen, pool = stand_ins(store, STAND_INS, seed), store.inputs("pool")
        logs = [task.log_prior(pool.tokens[row]) for row in chosen]
        own = np.exp([-np.inf if log is None else log for log in logs])
        from_chosen = distances(store, distance, site, chosen, store.activations("pool", site)[chosen])
        if pool.exact and kernel is Kernel.BALL:  # rounding would leave its own ball without it
            from_chosen[np.arange(len(chosen)), chosen] = 0
        return cls(from_chosen, pool.probability, own, pool.exact, kernel)

    def share(self, bandwidth: float) -> float:
        """Share of the prior that remains at a bandwidth, median over the stand-ins; 0 where the pool shows nothing."""
        kernel = np.exp(self.kernel.log(self.distances, bandwidth))
        if self.exact:
            return float(np.median((kernel @ self.probability) ** 2 / (kernel**2 @ self.probability)))
        return float(np.median(from_draws(kernel, np.isfinite(self.distances).sum(1), self.own)))

    def pool_inputs(self, bandwidth: float) -> float:
        """Effective number of inputs of the pool that remain at a bandwidth, median over the stand-ins."""
        posterior = self.kernel.posterior(self.distances, bandwidth, np.log(self.probability))
        return float(np.median(effective_sample_size(posterior)))

    def bandwidth(self, resolution: float) -> float | None:
        """The bandwidth at which one input in `resolution` remains; None where the pool is too small to measure it, or
        holds no posterior so fine.
        """

        def excess(log_h: float) -> float:
            return float(np.log(max(self.share(np.exp(log_h)), np.finfo(float).tiny) * resolution))

        low, high = np.log(RANGE)
        unmeasured = not self.exact and len(self.probability) < MEASURABLE * resolution
        if unmeasured or excess(low) > 0 or excess(high) < 0:
            return None
        return float(np.exp(root_scalar(excess, bracket=(low, high), xtol=PRECISION).root))

    @property
    def finest(self) -> float:
        """The finest resolution that the pool can measure."""
        return 1 / self.share(RANGE[0]) if self.exact else len(self.probability) / MEASURABLE

    def nearest(self, share: float) -> float:
        """The bandwidth at which this share of the prior remains, or the nearest that the pool can measure."""
        finest = self.finest * (1 - PRECISION)
        return self.bandwidth(finest if share * finest < 1 else 1 / share) or RANGE[0]


def from_draws(
    kernel: Float[ndarray, "targets pool"], count: Int[ndarray, " targets"], own: Float[ndarray, " targets"]
) -> Float[ndarray, " targets"]:
    """E[k]² / E[k²] around each target, from kernel weights of `count` draws (0 for an input that is left out).

    The target's source has k = 1 with its own probability. The square of the mean over the others is estimated from
    pairs of different draws: the square of the estimated mean is too large by its variance.
    """
    mean, square = kernel.sum(1) / count, (kernel**2).sum(1) / count
    pairs = np.maximum(count * mean**2 - square, 0) / (count - 1)
    first, second = own**2 + 2 * own * (1 - own) * mean + (1 - own) ** 2 * pairs, own + (1 - own) * square
    return np.divide(first, second, out=np.zeros_like(first), where=second > 0)


def bandwidth_at(remaining: Remaining, site: Site, resolution: float) -> float:
    """The bandwidth of a site at a resolution.

    Raises:
        UserError: the pool cannot measure it.
    """
    found = remaining.bandwidth(resolution)
    if found is None:
        raise UserError(
            f"the pool does not reach this resolution at {site}",
            given=f"{resolution:g}, with a pool of {len(remaining.probability)} inputs",
            allowed=f"up to {remaining.finest:.4g}",
            remedy="a coarser resolution, or a larger pool (collect.pool)",
        )
    return found


def chosen(run: Path, site: Site, resolution: float | None, bandwidth: float | None) -> Level:
    """The level of a site at which one activation is inverted: this resolution of the run, or any bandwidth. With
    neither, the finest level of the run at which inputs other than the source answer and can be checked: so many of the
    pool remain that the reference is trusted; else the coarsest.

    Raises:
        UserError: the run has no such resolution, or both are given.
    """
    rows = files.read_table(run / records.collect.BANDWIDTHS.path, filters=[("site", "=", str(site))])
    known = [row for row in rows.sort_by("bandwidth").to_pylist() if row["bandwidth"] is not None]
    levels = [of_row(row) for row in known]
    if bandwidth is not None and resolution is None:
        return next((level for level in levels if level.bandwidth == bandwidth), Level(None, bandwidth))
    if resolution is None and bandwidth is None:
        answering = [level for level, row in zip(levels, known, strict=True) if row["pool_inputs"] >= TRUSTED]
        return (answering or levels[-1:])[0]
    return pick(levels, resolution, bandwidth)


def site_rows(
    remaining: Remaining,
    site: Site,
    resolutions: Sequence[float],
    bandwidths: Sequence[float],
    prior: float | None,
    channel: Remaining | None = None,
) -> list[dict[str, Any]]:
    """Rows of `reference/bandwidths.parquet` for a site, at resolutions and at bandwidths that are set.

    Args:
        prior: effective number of inputs of the whole prior; None where that is not known.
        channel: the same by the generator's noise channel, where that is not of the run's distance and kernel.

    A resolution that the pool does not reach at this site has no bandwidth: at a head where an eighth of the inputs has
    one and the same activation, none leaves fewer of them.
    """
    found = {resolution: remaining.bandwidth(resolution) for resolution in resolutions}
    levels = [Level(None, h) for h in bandwidths]
    levels += [Level(resolution, h) for resolution, h in found.items() if h is not None]
    levels.sort(key=lambda level: level.bandwidth)
    rows = [_row(remaining, site, level, prior, channel) for level in levels]
    empty = dict.fromkeys(("bandwidth", "channel", "bits", "pool_inputs", "prior_inputs"))
    return rows + [{"site": str(site), "resolution": n, **empty} for n, h in found.items() if h is None]


def _row(
    remaining: Remaining, site: Site, level: Level, prior: float | None, channel: Remaining | None
) -> dict[str, Any]:
    share = 1 / level.resolution if level.resolution else remaining.share(level.bandwidth)
    return {
        "site": str(site),
        **level.columns,
        "channel": channel and channel.nearest(share),
        "bits": float(-np.log2(share)) if share > 0 else None,
        "pool_inputs": remaining.pool_inputs(level.bandwidth),
        "prior_inputs": prior * share if prior and share > 0 else None,
    }


def prior_inputs(store: Store, task: Task) -> float | None:
    """Effective number of inputs of the whole prior, 1 / ΣP²; None where it is too large to be enumerated."""
    pool = store.inputs("pool")
    if pool.enumerated is not None:
        return float(1 / (pool.enumerated**2).sum())
    try:
        counted = [share for _, share in islice(task.enumerate(), ENUMERATED + 1)]
    except UserError:
        return None
    return None if len(counted) > ENUMERATED else float(1 / np.square(counted).sum())


def at_sites(levels: Mapping[Site, Sequence[Level]]) -> dict[Site, list[float]]:
    """The bandwidths of each site at which the generator draws."""
    return {site: [level.drawn for level in of_site] for site, of_site in levels.items()}
