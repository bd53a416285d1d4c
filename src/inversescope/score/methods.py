"""What is said of a site, source by source: weighted inputs for each target, the generator's and every control's.

Dimensions: `targets`, `n` inputs of one target, `pool` inputs, `labels` of a feature.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float, Int
from numpy import ndarray

from inversescope.sites import Site
from inversescope.stats.labels import label_shares
from inversescope.stats.weights import effective_sample_size, log_kernel, normalise

NEIGHBOURS = 8  # of the nearest-neighbour control


@dataclass(frozen=True)
class Evidence:
    """Weighted inputs for each target from one source; a weight of 0 leaves an input out."""

    source: str
    site: Site
    bandwidth: float | None
    labels: dict[str, Int[ndarray, "targets n"]]
    weights: Float[ndarray, "targets n"]
    unverified: int = 0

    @property
    def sizes(self) -> Float[ndarray, " targets"]:
        """Effective sample size of each target."""
        return effective_sample_size(self.weights)


@dataclass(frozen=True)
class Feature:
    """One feature's values, and what the prior says of them."""

    name: str
    values: list[str]
    targets: Int[ndarray, " targets"]
    pool: Int[ndarray, " pool"]
    probability: Float[ndarray, " pool"]  # of the pool's inputs, all alike where they are draws
    prior: Float[ndarray, " labels"] = field(init=False)

    def __post_init__(self) -> None:
        shares = label_shares(self.pool[None], self.probability[None], len(self.values))
        object.__setattr__(self, "prior", shares[0])

    @property
    def chance(self) -> Float[ndarray, " targets"]:
        """The prior's share of each target's value; NaN where the target is undecided."""
        return of_target(np.broadcast_to(self.prior, (len(self.targets), len(self.prior))), self.targets)


def read_features(inputs: pa.Table, samples: pa.Table, probability: Float[ndarray, " pool"]) -> list[Feature]:
    """The features, their values numbered alike in the pool, the targets and the samples."""
    names = [name.removeprefix("label.") for name in inputs.column_names if name.startswith("label.")]
    features = []
    for name in names:
        column = f"label.{name}"
        seen = {*inputs[column].unique().to_pylist(), *samples[column].unique().to_pylist()} - {None}
        values = sorted(seen)
        split = {key: inputs.filter(pc.field("split") == key).sort_by("row") for key in ("pool", "target")}
        if values:
            pool, target = (encode(split[key][column], values) for key in ("pool", "target"))
            features.append(Feature(name, values, target, pool, probability))
    return features


def from_pool(
    site: Site,
    distances: Float[ndarray, "pool targets"],
    bandwidths: Sequence[float],
    features: Sequence[Feature],
    probability: Float[ndarray, " pool"],
    exact: bool,
) -> Iterator[Evidence]:
    """The reference at every bandwidth, and the nearest neighbours; a whole prior holds the target itself, which is
    part of its posterior and none of its neighbours.
    """
    by_target = distances.T.astype(float)
    labels = {feature.name: np.broadcast_to(feature.pool, by_target.shape) for feature in features}
    for h in bandwidths:
        yield Evidence("reference", site, h, labels, normalise(np.log(probability) + log_kernel(by_target, h)))
    first = int(exact)
    nearest = np.argsort(by_target, axis=1, kind="stable")[:, first : first + NEIGHBOURS]
    weights = np.ones(nearest.shape)
    yield Evidence(
        "nearest", site, None, {name: np.take_along_axis(codes, nearest, 1) for name, codes in labels.items()}, weights
    )


def from_draws(
    site: Site, table: pa.Table, bandwidths: Sequence[float], features: Sequence[Feature]
) -> Iterator[Evidence]:
    """The generator's draws as they come, reweighted, and with targets shuffled."""
    for h in bandwidths:
        drawn = _ByTarget.of(table.filter(pc.field("bandwidth") == h), features)
        verified = drawn.numbers("verified")
        yield Evidence("generator", site, h, drawn.labels, verified, drawn.unverified)
        yield Evidence("weighted", site, h, drawn.labels, np.nan_to_num(drawn.numbers("weight")), drawn.unverified)
        # Each target meets the samples of the one before: every sample is used once, none with its own target.
        others = {name: np.roll(codes, 1, axis=0) for name, codes in drawn.labels.items()}
        yield Evidence("shuffled", site, h, others, np.roll(verified, 1, axis=0), drawn.unverified)


def from_another_site(
    site: Site, table: pa.Table, bandwidths: Sequence[float], features: Sequence[Feature]
) -> Iterator[Evidence]:
    """What the generator draws for the same targets at another site, whose draws `table` has."""
    for h in bandwidths:
        drawn = _ByTarget.of(table.filter(pc.field("bandwidth") == h), features)
        yield Evidence("wrong site", site, h, drawn.labels, drawn.numbers("verified"), drawn.unverified)


def from_edits(
    site: Site, table: pa.Table, bandwidths: Sequence[float], features: Sequence[Feature]
) -> Iterator[Evidence]:
    """Edits of the source inputs, weighted by the kernel alone: with what probability one is made is not known."""
    edits = _ByTarget.of(table, features)
    distances = np.nan_to_num(edits.numbers("distance"), nan=np.inf)
    for h in bandwidths:
        weights = normalise(log_kernel(distances, h))
        yield Evidence("perturbation", site, h, edits.labels, weights, edits.unverified)


def without_condition(site: Site, table: pa.Table, features: Sequence[Feature]) -> Evidence:
    """What the generator draws from no activation; all of it answers for every target, and is counted for each."""
    targets = len(features[0].targets) if features else 0
    verified = np.tile(table["verified"].to_numpy().astype(float), (targets, 1))
    labels = {f.name: np.tile(encode(table[f"label.{f.name}"], f.values), (targets, 1)) for f in features}
    return Evidence("no condition", site, None, labels, verified, int((verified == 0).sum()))


def wrong_sites(sites: Sequence[Site]) -> dict[Site, Site]:
    """For each site another one, half of all sites away in order of depth; nothing where there is one alone."""
    ordered = sorted(sites, key=lambda site: site.depth)
    half = len(ordered) // 2
    return {site: ordered[(place + half) % len(ordered)] for place, site in enumerate(ordered)} if half else {}


@dataclass(frozen=True)
class _ByTarget:
    """Samples of one site, as many for each target and those of one together."""

    table: pa.Table
    targets: int
    labels: dict[str, Int[ndarray, "targets n"]]

    @classmethod
    def of(cls, table: pa.Table, features: Sequence[Feature]) -> Self:
        targets = len(table["target"].unique())
        labels = {f.name: encode(table[f"label.{f.name}"], f.values).reshape(targets, -1) for f in features}
        return cls(table, targets, labels)

    def numbers(self, name: str) -> Float[ndarray, "targets n"]:
        """A column; NaN where it is null."""
        return self.table[name].to_numpy(zero_copy_only=False).astype(float).reshape(self.targets, -1)

    @property
    def unverified(self) -> int:
        return int((self.numbers("verified") == 0).sum())


def of_target(shares: Float[ndarray, "targets labels"], labels: Int[ndarray, " targets"]) -> Float[ndarray, " targets"]:
    """For each target, the share of its own label; NaN where it is undecided."""
    own = shares[np.arange(len(labels)), labels]
    return np.where(labels >= 0, own, np.nan)


def encode(column: pa.ChunkedArray, values: list[str]) -> Int[ndarray, " n"]:
    """The place of each label in `values`; −1 where undecided."""
    place = {value: code for code, value in enumerate(values)}
    return np.array([place.get(value, -1) for value in column.to_pylist()], dtype=int)
