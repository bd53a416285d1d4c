"""Score every feature as a hypothesis at every site: consistency, chance, bits, intervals, controls, calibration.

Scoring does not know who made a sample: each source is a set of weighted inputs for each target. Dimensions:
`targets`, `n` inputs of one target, `pool` inputs. Records as docs/run-directory.md lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float, Int
from numpy import ndarray
from safetensors.numpy import load_file

from inversescope import files, statistics
from inversescope.diagnose import diagnose, histogram
from inversescope.sites import Site
from inversescope.statistics import Estimate
from inversescope.weights import COLLAPSED, effective_sample_size, log_kernel, normalise

NEIGHBOURS = 8  # of the nearest-neighbour control
TESTED = ("generator", "weighted", "reference")  # against their own samples, dealt out to other targets


_SITE = [("site", pa.string()), ("point", pa.string()), ("layer", pa.int32()), ("head", pa.int32())]
_ESTIMATES = [(f"{name}{end}", pa.float64()) for name in ("corrected", "bits") for end in ("", "_low", "_high")]
SCHEMAS = {
    "results": pa.schema(
        [
            ("source", pa.string()),
            *_SITE,
            ("feature", pa.string()),
            ("bandwidth", pa.float64()),
            *((name, pa.int64()) for name in ("targets", "collapsed", "samples", "undecided", "unverified")),
            *((name, pa.float64()) for name in ("fcr", "fcr_low", "fcr_high", "chance")),
            *_ESTIMATES,
            *((name, pa.float64()) for name in ("p_value", "q_value", "ess", "gap", "gap_low", "gap_high")),
        ]
    ),
    "diagnostics": pa.schema(
        [
            *_SITE,
            ("bandwidth", pa.float64()),
            *((name, pa.int64()) for name in ("draws", "unverified")),
            ("acceptance", pa.float64()),
            *((name, pa.int64()) for name in ("distinct", "distinct_accepted")),
            *((name, pa.float64()) for name in ("novel", "ess")),
            ("collapsed", pa.int64()),
            ("pareto_k", pa.float64()),
            ("unreliable", pa.int64()),
            *((name, pa.float64()) for name in ("reference_ess", "median_distance", "prior_median_distance")),
        ]
    ),
    "distances": pa.schema(
        [
            ("site", pa.string()),
            ("producer", pa.string()),
            *((name, pa.float64()) for name in ("bandwidth", "low", "high", "share")),
        ]
    ),
}


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
        shares = statistics.shares(self.pool[None], self.probability[None], len(self.values))
        object.__setattr__(self, "prior", shares[0])

    @property
    def chance(self) -> Float[ndarray, " targets"]:
        """The prior's share of each target's value; NaN where the target is undecided."""
        return _of_target(np.broadcast_to(self.prior, (len(self.targets), len(self.prior))), self.targets)


def score(run: Path, seed: int, progress: Callable[[int, int], None]) -> None:
    """Write `results.parquet`, `results.json`, `diagnostics.parquet` and `distances.parquet` in the folder `score`."""
    inputs = pq.read_table(run / "collect" / "inputs.parquet")
    samples = pq.read_table(run / "verify" / "samples.parquet")
    distances = {
        Site.parse(name): rows for name, rows in load_file(run / "reference" / "distances.safetensors").items()
    }
    pool = inputs.filter(pc.field("split") == "pool").sort_by("row")
    known = pool["probability"].to_numpy()
    exact = not np.isnan(known).any()
    probability = known if exact else np.full(len(pool), 1 / len(pool))
    features = _features(inputs, samples, probability)
    bandwidths = sorted({h for h in samples["bandwidth"].to_pylist() if h is not None})
    conditioned = samples.filter(samples["site"].is_valid())
    generated = {
        Site.parse(name): conditioned.filter(pc.field("site") == name)
        for name in conditioned["site"].unique().to_pylist()
    }
    free = samples.filter(samples["site"].is_null())
    results: list[dict[str, Any]] = []
    for done, (site, rows) in enumerate(sorted(distances.items(), key=lambda item: item[0].depth)):
        evidence = [*_from_pool(site, rows, bandwidths, features, probability, exact)]
        if site in generated:
            evidence += _from_samples(site, generated[site], free, bandwidths, features)
        for feature in features:
            results += _score_feature(feature, evidence, seed)
        progress(done + 1, len(distances))
    _add_q_values(results)
    diagnostics = [
        row for site, table in generated.items() for row in diagnose(site, table, distances[site], probability)
    ]
    histograms = [row for site, table in generated.items() for row in histogram(site, table, distances[site])]
    folder = run / "score"
    for name, rows in (("results", results), ("diagnostics", diagnostics), ("distances", histograms)):
        files.write_table(folder / f"{name}.parquet", pa.Table.from_pylist(rows, schema=SCHEMAS[name]))
    accuracy = files.read_json(run / "task" / "accuracy.json")
    files.write_json(folder / "results.json", {"scores": results, "diagnostics": diagnostics, "accuracy": accuracy})


def _features(inputs: pa.Table, samples: pa.Table, probability: Float[ndarray, " pool"]) -> list[Feature]:
    """The features, their values numbered alike in the pool, the targets and the samples."""
    names = [name.removeprefix("label.") for name in inputs.column_names if name.startswith("label.")]
    features = []
    for name in names:
        column = f"label.{name}"
        seen = {*inputs[column].unique().to_pylist(), *samples[column].unique().to_pylist()} - {None}
        values = sorted(seen)
        split = {key: inputs.filter(pc.field("split") == key).sort_by("row") for key in ("pool", "target")}
        codes = {key: _codes(table[column], values) for key, table in split.items()}
        if values:
            features.append(Feature(name, values, codes["target"], codes["pool"], probability))
    return features


def _from_pool(
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


def _from_samples(
    site: Site, table: pa.Table, free: pa.Table, bandwidths: Sequence[float], features: Sequence[Feature]
) -> Iterator[Evidence]:
    """The generator's draws as they come, reweighted, with targets shuffled, and without a condition."""
    for h in bandwidths:
        part = table.filter(pc.field("bandwidth") == h)
        targets = len(set(part["target"].to_pylist()))
        labels = {f.name: _codes(part[f"label.{f.name}"], f.values).reshape(targets, -1) for f in features}
        verified = part["verified"].to_numpy(zero_copy_only=False).astype(float).reshape(targets, -1)
        weights = np.nan_to_num(part["weight"].to_numpy(zero_copy_only=False)).reshape(targets, -1)
        unverified = int((verified == 0).sum())
        yield Evidence("generator", site, h, labels, verified, unverified)
        yield Evidence("weighted", site, h, labels, weights, unverified)
        # Each target meets the samples of the one before: every sample is used once, none with its own target.
        others = {name: np.roll(codes, 1, axis=0) for name, codes in labels.items()}
        yield Evidence("shuffled", site, h, others, np.roll(verified, 1, axis=0), unverified)
    targets = len(next(iter(features)).targets) if features else 0
    # These answer for every target, and are counted for each.
    verified = np.tile(free["verified"].to_numpy(zero_copy_only=False).astype(float), (targets, 1))
    shared = {f.name: np.tile(_codes(free[f"label.{f.name}"], f.values), (targets, 1)) for f in features}
    yield Evidence("no condition", site, None, shared, verified, int((verified == 0).sum()))


def _score_feature(feature: Feature, evidence: Sequence[Evidence], seed: int) -> Iterator[dict[str, Any]]:
    """One row for each source and bandwidth of a site."""
    consistencies: dict[tuple[str, float | None], Float[ndarray, " targets"]] = {}
    for item in evidence:
        labels, sizes = item.labels[feature.name], item.sizes
        shares = statistics.shares(labels, item.weights, len(feature.values))
        used = (sizes >= min(COLLAPSED, labels.shape[1])) & (feature.targets >= 0)
        consistency = np.where(used, _of_target(shares, feature.targets), np.nan)
        consistencies[item.source, item.bandwidth] = consistency
        weighed = item.weights > 0
        counted = np.where(used[:, None], shares, np.nan)
        yield {
            "source": item.source,
            "site": str(item.site),
            "point": item.site.series,
            "layer": item.site.layer,
            "head": item.site.head,
            "feature": feature.name,
            "bandwidth": item.bandwidth,
            "targets": int((~np.isnan(consistency)).sum()),
            "collapsed": int((sizes < min(COLLAPSED, labels.shape[1])).sum()),
            "samples": int(weighed.sum()),
            "undecided": int((weighed & (labels < 0)).sum()),
            "unverified": item.unverified,
            **_fields("fcr", statistics.mean(consistency, 0, 1)),
            "chance": _defined(statistics.mean(np.where(np.isnan(consistency), np.nan, feature.chance)).value),
            **_fields("corrected", statistics.corrected(consistency, feature.chance)),
            **_fields("bits", _bits(feature, counted, sizes)),
            "p_value": _shuffle_test(item, feature, counted, seed) if item.source in TESTED else None,
            "ess": _defined(float(np.median(sizes))),
            **_fields("gap", _gap(item, consistency, consistencies)),
        }


def _gap(item: Evidence, consistency: Float[ndarray, " targets"], known: dict) -> Estimate:
    """The calibration gap: the generator's draws minus the reference, over the targets where both are defined."""
    if item.source != "generator":
        return statistics.UNDEFINED
    return statistics.paired(consistency, known["reference", item.bandwidth])


def _bits(feature: Feature, shares: Float[ndarray, "targets labels"], sizes: Float[ndarray, " targets"]) -> Estimate:
    """The drop in the feature's entropy; samples too few to tell an entropy from are left out."""
    decided = np.array([float((feature.pool >= 0).sum())])
    prior = statistics.entropy(feature.prior[None], decided)[0]
    left = np.where(sizes >= COLLAPSED, statistics.entropy(shares, sizes), np.nan)
    return statistics.mean(prior - left, prior - np.log2(len(feature.values)), prior)


def _shuffle_test(
    item: Evidence, feature: Feature, shares: Float[ndarray, "targets labels"], seed: int
) -> float | None:
    """p of a source's own samples against those of shuffled targets; ties are broken by what names the row."""
    row = f"{item.source} {item.site} {feature.name} {item.bandwidth}"
    rng = np.random.default_rng([seed, *row.encode()])
    return _defined(statistics.shuffle_test(shares, feature.targets, seed, rng))


def _add_q_values(results: Sequence[dict[str, Any]]) -> None:
    """Into every row, over all that one source was tested for: sites, features and bandwidths."""
    for source in {row["source"] for row in results}:
        rows = [row for row in results if row["source"] == source]
        found = statistics.q_values(np.array([row["p_value"] for row in rows], dtype=float))
        for row, value in zip(rows, found.tolist(), strict=True):
            row["q_value"] = _defined(value)


def _of_target(
    shares: Float[ndarray, "targets labels"], labels: Int[ndarray, " targets"]
) -> Float[ndarray, " targets"]:
    """For each target, the share of its own label; NaN where it is undecided."""
    own = shares[np.arange(len(labels)), labels]
    return np.where(labels >= 0, own, np.nan)


def _codes(column: pa.ChunkedArray, values: list[str]) -> Int[ndarray, " n"]:
    """The place of each label in `values`; −1 where undecided."""
    place = {value: code for code, value in enumerate(values)}
    return np.array([place.get(value, -1) for value in column.to_pylist()], dtype=int)


def _fields(name: str, estimate: Estimate) -> dict[str, float | None]:
    return {
        name: _defined(estimate.value),
        f"{name}_low": _defined(estimate.low),
        f"{name}_high": _defined(estimate.high),
    }


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
