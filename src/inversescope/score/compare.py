"""Consistency of each target with its own samples, from a run's records: for planning and for comparing two sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float
from numpy import ndarray

from inversescope import files
from inversescope.errors import UserError
from inversescope.records.levels import pick, read_levels
from inversescope.score.feature import has_enough, own_share, shares_of_kept
from inversescope.sites import Site
from inversescope.stats import intervals, resampling
from inversescope.stats.intervals import Estimate
from inversescope.stats.labels import encode
from inversescope.stats.weights import effective_sample_size
from inversescope.verdicts.comparison import which_ahead

METHODS = ("weighted", "generator")


class Consistency(NamedTuple):
    """Share of each target's samples that have its label, NaN where undefined, and their (effective) number."""

    rates: Float[ndarray, " targets"]
    sizes: Float[ndarray, " targets"]


class Compared(NamedTuple):
    """Two sides on the same targets: mean consistency and number of targets of each, of their difference, the p-value
    of the sign test, and the verdict (`first` or `second` is ahead, `level`, or `cannot be told apart`).
    """

    means: tuple[Estimate, Estimate]
    targets: tuple[int, int]
    difference: Estimate
    shared: int
    p_value: float
    verdict: str | None

    def record(self, sides: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The comparison as JSON has it, with the two sides as they are given here; undefined is null."""
        measured = [
            {**side, "consistency": mean._asdict(), "targets": targets}
            for side, mean, targets in zip(sides, self.means, self.targets, strict=True)
        ]
        difference = {"difference": self.difference._asdict(), "targets": self.shared, "p_value": self.p_value}
        return files.plain({"sides": measured, **difference, "verdict": self.verdict})


def compared(one: Float[ndarray, " targets"], other: Float[ndarray, " targets"]) -> Compared:
    """The comparison of two consistencies, target by target."""
    difference, estimate = one - other, intervals.paired(one, other)
    return Compared(
        (intervals.mean(one, 0, 1), intervals.mean(other, 0, 1)),
        (_defined(one), _defined(other)),
        estimate,
        _defined(difference),
        resampling.sign_test(difference, np.random.default_rng(0)),
        which_ahead(estimate.low, estimate.high, "first", "second"),
    )


def _defined(values: Float[ndarray, " targets"]) -> int:
    return int((~np.isnan(values)).sum())


def consistency(
    run: Path, method: str, site: str, feature: str, resolution: float | None, bandwidth: float | None
) -> Consistency:
    """Consistency of the verified samples at one site and level of a run, weighted or with equal weights.

    Raises:
        UserError: the run is not verified yet, or has no such method, site, feature or level; no level is given.
    """
    path = run / "verify" / "samples.parquet"
    if not files.finished(path.parent):
        raise UserError("this run has no verified samples", given=run, remedy=f"inversescope step {run} verify")
    samples = files.read_table(path)
    conditioned = samples.filter(pc.field("method") == "generator")
    features = [name.removeprefix("label.") for name in samples.column_names if name.startswith("label.")]
    for what, given, allowed in (
        ("method", method, METHODS),
        ("feature", feature, features),
        ("site", site, conditioned["site"].unique().to_pylist()),
    ):
        if given not in allowed:
            raise UserError(
                f"this run has no samples of this {what}", given=given, allowed=", ".join(map(str, allowed)) or "none"
            )
    levels = read_levels(run)[Site.parse(site)]
    if resolution is None and bandwidth is None:
        options = (f"-b {one.bandwidth:g}" if one.resolution is None else f"-N {one.resolution:g}" for one in levels)
        raise UserError("samples are counted at one resolution, and none is given", allowed=", ".join(options))
    level = pick(levels, resolution, bandwidth)
    of_cell = conditioned.filter((pc.field("site") == site) & (pc.field("bandwidth") == level.bandwidth))
    targets = files.read_table(run / "collect" / "inputs.parquet").filter(pc.field("split") == "target").sort_by("row")
    return _of(of_cell, targets[f"label.{feature}"], method, feature)


def _of(samples: pa.Table, targets: pa.ChunkedArray, method: str, feature: str) -> Consistency:
    """Consistency of each target; the samples are sorted by target, the same number of each."""
    labels, own = samples[f"label.{feature}"].to_pylist(), targets.to_pylist()
    values = sorted({*own, *labels} - {None})

    def column(name: str) -> ndarray:
        return samples[name].to_numpy(zero_copy_only=False).reshape(len(targets), -1)

    if method == "weighted":
        weights = np.nan_to_num(column("weight").astype(float))
        kept = np.array([[reason is None for reason in row] for row in column("left_out")])[:, 0]
    else:
        weights = column("verified").astype(float)
        kept = has_enough(weights)
    shares = shares_of_kept(encode(labels, values).reshape(weights.shape), weights, len(values), kept)
    return Consistency(own_share(shares, encode(own, values)), effective_sample_size(weights))
