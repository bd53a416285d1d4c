"""Weighted inputs for each target of a site, method by method: the generator's, the reference's and every control's.

Dimensions: `targets`, `n` inputs of one target, `pool` inputs, `labels` of a feature.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from inversescope.records.levels import Level
from inversescope.score.feature import (
    FeatureScore,
    has_enough,
    own_share,
    score_feature,
    shares_of_kept,
    without_source,
)
from inversescope.score.labelled_feature import Feature
from inversescope.score.pool import SitePool
from inversescope.sites import Site
from inversescope.stats import intervals
from inversescope.stats.intervals import Estimate
from inversescope.stats.kernel import Kernel
from inversescope.stats.labels import encode
from inversescope.stats.resampling import other_targets
from inversescope.stats.weights import effective_sample_size, normalise, repeats

NEIGHBOURS = 8  # of the nearest-neighbour control


class AmongOthers(NamedTuple):
    """The corrected score among inputs other than the source, the number of targets that have one, and for each target
    the shares of the labels; None for the methods that never look at the source.
    """

    corrected: Estimate
    targets: int
    shares: Float[ndarray, "targets labels"] | None


NOT_LOOKED_AT = AmongOthers(intervals.UNDEFINED, 0, None)


@dataclass(frozen=True)
class WeightedInputs:
    """Weighted inputs of one method for each target; a weight of 0 leaves an input out.

    Attributes:
        method: its name in tables.
        site, bandwidth: the place.
        labels: codes of each feature.
        weights: importance weights have the whole weight of an input at its first draw; draws as they come are
            independent, and count alike.
        draws: number of draws behind each weight; None for one each.
        distinct: weights with equal draws as one; None where no input comes twice.
        kept: targets that count; None where only the effective sample size of the weights decides.
        source: inputs that are the target's own source input; None where that is not looked at.
        unverified: draws that could not be run back.
        ending: number of last tokens that the inputs share with the source, median over the targets that count; None
            for other methods than `same ending`.
    """

    method: str
    site: Site
    bandwidth: float | None
    labels: dict[str, Int[ndarray, "targets n"]]
    weights: Float[ndarray, "targets n"]
    draws: Float[ndarray, "targets n"] | None = None
    distinct: Float[ndarray, "targets n"] | None = None
    kept: Bool[ndarray, " targets"] | None = None
    source: Bool[ndarray, "targets n"] | None = None
    unverified: int = 0
    ending: float | None = None

    @cached_property
    def sizes(self) -> Float[ndarray, " targets"]:
        """Effective sample size of each target, by distinct inputs."""
        return effective_sample_size(self.weights if self.distinct is None else self.distinct)

    @cached_property
    def _worth(self) -> Float[ndarray, " targets"]:
        return effective_sample_size(self.weights)

    @cached_property
    def counting(self) -> Bool[ndarray, " targets"]:
        """Targets that count."""
        return has_enough(self.weights) if self.kept is None else self.kept

    @cached_property
    def source_share(self) -> float:
        """Share of the weight that the source input itself has, mean over the targets that are not left out."""
        total = self.weights.sum(1)
        used = total > 0 if self.kept is None else (total > 0) & self.kept
        if self.source is None or not used.any():
            return np.nan
        return float(((self.weights * self.source).sum(1)[used] / total[used]).mean())

    def without_source(self) -> Self:
        """The same among inputs other than the source, for the targets where these have weight and are worth enough."""
        if self.source is None:
            return self
        weights, enough = without_source(self.weights, self.source)
        distinct = None if self.distinct is None else np.where(self.source, 0.0, self.distinct)
        kept = enough if self.kept is None else self.kept & enough
        return replace(self, weights=weights, distinct=distinct, kept=kept, source=None)

    @cached_property
    def others(self) -> Self:
        """`without_source`, computed once for all features."""
        return self.without_source()

    @cached_property
    def weighing(self) -> Float[ndarray, "targets n"]:
        """Number of draws with weight, at each input."""
        return (self.weights > 0) * (1.0 if self.draws is None else self.draws)

    @cached_property
    def samples(self) -> int:
        """Number of draws with weight."""
        return int(self.weighing.sum())

    def undecided(self, feature: str) -> int:
        """Number of draws with weight that a feature does not decide."""
        undecided = self.labels[feature] < 0
        return int(self.weighing[undecided].sum()) if undecided.any() else 0

    def score(self, feature: Feature) -> FeatureScore:
        """The score of a feature by this method."""
        codes = self.labels[feature.name]
        return score_feature(codes, self.weights, feature.targets, feature.prior, self.kept, self._worth)

    def score_others(self, feature: Feature, mass: Float[ndarray, " targets"]) -> AmongOthers:
        """The score of a feature among inputs other than the source; `mass` is the prior's share of each source."""
        others = self.others
        shares = shares_of_kept(others.labels[feature.name], others.weights, len(feature.values), others.counting)
        shared = own_share(shares, feature.targets)
        chance = np.where(np.isnan(shared), np.nan, feature.others_chance(mass))
        return AmongOthers(intervals.corrected(shared, chance), int((~np.isnan(shared)).sum()), shares)


def from_pool(
    site: Site,
    pool: SitePool,
    features: Sequence[Feature],
    source: Bool[ndarray, "targets inputs"] | None = None,
) -> Iterator[WeightedInputs]:
    """The reference at every bandwidth, and the nearest neighbours in the pool.

    `source`: inputs of the reference that are a target's own source, as in a pool that is the whole prior: part of its
    posterior, and none of its neighbours.
    """
    by_target = pool.distances.T
    codes = {feature.name: feature.reference[: pool.reference.shape[1]] for feature in features}
    labels = {name: np.broadcast_to(codes[name], pool.reference.shape) for name in codes}
    exact = np.ones(len(by_target), dtype=bool) if pool.exact else None
    own = None if source is None else source[:, : pool.reference.shape[1]]
    for h, weights in pool.posterior.items():
        yield WeightedInputs("reference", site, h, labels, weights, kept=exact, source=own)
    labels = {feature.name: np.broadcast_to(feature.pool, by_target.shape) for feature in features}
    others = by_target if source is None else np.where(source[:, : len(pool.distances)], np.inf, by_target)
    nearest = np.argsort(others, axis=1, kind="stable")[:, : min(NEIGHBOURS, others.shape[1] - int(pool.exact))]
    near = {name: np.take_along_axis(codes, nearest, 1) for name, codes in labels.items()}
    yield WeightedInputs("nearest", site, None, near, np.ones(nearest.shape))


def from_draws(
    site: Site, table: pa.Table, bandwidths: Sequence[float], features: Sequence[Feature], seed: int
) -> Iterator[WeightedInputs]:
    """The generator's draws with equal weights, with importance weights, and dealt out to other targets by `seed`."""
    for h in bandwidths:
        drawn = _ByTarget.of(table.filter(pc.field("bandwidth") == h), features)
        yield drawn.as_they_come("generator", site, h)
        yield drawn.weighted("weighted", site, h)
        yield drawn.shuffled(seed).as_they_come("shuffled", site, h)


def from_another_site(
    site: Site, table: pa.Table, levels: Sequence[Level], other: Sequence[Level], features: Sequence[Feature]
) -> Iterator[WeightedInputs]:
    """The generator's draws for the same targets at another site, which `table` holds, level by level of the two."""
    at_level = {level.resolution or level.bandwidth: level.bandwidth for level in other}
    for resolution, h, _ in levels:
        if (at_other := at_level.get(resolution or h)) is None:
            continue  # the other site does not reach this resolution
        drawn = _ByTarget.of(table.filter(pc.field("bandwidth") == at_other), features)
        yield drawn.as_they_come("wrong site", site, h)


def from_edits(
    site: Site, table: pa.Table, bandwidths: Sequence[float], features: Sequence[Feature], kernel: Kernel
) -> Iterator[WeightedInputs]:
    """Edits of the source inputs, weighted by the kernel alone: the probability of making one is not known."""
    edits = _ByTarget.of(table, features)
    distances, times = np.nan_to_num(edits.numbers("distance"), nan=np.inf), edits.numbers("times")
    for h in bandwidths:
        weights = times * normalise(kernel.log(distances, h))
        yield WeightedInputs("edits", site, h, edits.labels, weights, times, unverified=edits.unverified)


def without_condition(site: Site, table: pa.Table, features: Sequence[Feature]) -> WeightedInputs:
    """The generator's draws without a condition; all of them stand for every target, and are counted for each."""
    targets = len(features[0].targets) if features else 0
    verified = np.tile(table["verified"].to_numpy().astype(float), (targets, 1))
    times = repeats([None if row is None else tuple(row) for row in table["tokens"].to_pylist()])
    labels = {f.name: np.tile(encode(table[f"label.{f.name}"].to_pylist(), f.values), (targets, 1)) for f in features}
    unverified = int((verified == 0).sum())
    return WeightedInputs(
        "no condition", site, None, labels, verified, distinct=verified * times, unverified=unverified
    )


def wrong_sites(sites: Sequence[Site]) -> dict[Site, Site]:
    """Another site for each site, half of all sites away in order of depth; empty where there is one site alone."""
    ordered = sorted(sites, key=lambda site: site.depth)
    half = len(ordered) // 2
    return {site: ordered[(index + half) % len(ordered)] for index, site in enumerate(ordered)} if half else {}


@dataclass(frozen=True)
class _ByTarget:
    """Samples of one site, as many for each target and those of one together; target t has those of `drawn_for[t]`."""

    table: pa.Table
    targets: int
    labels: dict[str, Int[ndarray, "targets n"]]
    drawn_for: Int[ndarray, " targets"]

    @classmethod
    def of(cls, table: pa.Table, features: Sequence[Feature]) -> Self:
        targets = len(table["target"].unique())
        labels = {f.name: encode(table[f"label.{f.name}"].to_pylist(), f.values).reshape(targets, -1) for f in features}
        return cls(table, targets, labels, np.arange(targets))

    def shuffled(self, seed: int) -> Self:
        """The same, each target with the samples of another: every sample once, none with its own target."""
        other = other_targets(self.targets, seed)
        return replace(self, labels={name: codes[other] for name, codes in self.labels.items()}, drawn_for=other)

    def numbers(self, name: str) -> Float[ndarray, "targets n"]:
        """A column; NaN where it is null."""
        values = self.table[name].to_numpy(zero_copy_only=False).astype(float).reshape(self.targets, -1)
        return values[self.drawn_for]

    def as_they_come(self, method: str, site: Site, bandwidth: float) -> WeightedInputs:
        """Draws counted alike."""
        verified = self.numbers("verified")
        distinct = verified * self.numbers("times")
        return WeightedInputs(
            method,
            site,
            bandwidth,
            self.labels,
            verified,
            distinct=distinct,
            source=self.numbers("source") == 1,
            unverified=self.unverified,
        )

    def weighted(self, method: str, site: Site, bandwidth: float) -> WeightedInputs:
        """Draws with importance weights, without the targets that are left out."""
        weights, times = np.nan_to_num(self.numbers("weight")), self.numbers("times")
        kept = self.table["left_out"].is_null().to_numpy(zero_copy_only=False).reshape(self.targets, -1)[:, 0]
        source = self.numbers("source") == 1
        return WeightedInputs(
            method,
            site,
            bandwidth,
            self.labels,
            weights,
            times,
            kept=kept,
            source=source,
            unverified=self.unverified,
        )

    @property
    def unverified(self) -> int:
        return int((self.numbers("verified") == 0).sum())
