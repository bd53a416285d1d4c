"""Each target's consistency with its own samples, out of a run's records: what is planned and compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float
from numpy import ndarray

from inversescope import files
from inversescope.errors import UserError
from inversescope.stats.labels import label_shares
from inversescope.stats.weights import effective_sample_size
from inversescope.verdicts import COLLAPSED

SOURCES = ("weighted", "generator")


class Consistency(NamedTuple):
    """Share of each target's samples that have its label, NaN where undefined, and their (effective) number."""

    rates: Float[ndarray, " targets"]
    sizes: Float[ndarray, " targets"]


def consistency(run: Path, source: str, site: str, feature: str, bandwidth: float) -> Consistency:
    """Of the verified samples at one site and bandwidth of a run, weighted or as they were drawn.

    Raises:
        UserError: the run is not verified yet, or has no such source, site, feature or bandwidth.
    """
    path = run / "verify" / "samples.parquet"
    if not files.finished(path.parent):
        raise UserError("this run has no verified samples", given=run, remedy=f"inversescope step {run} verify")
    samples = pq.read_table(path)
    conditioned = samples.filter(pc.field("producer") == "generator")
    known = [name.removeprefix("label.") for name in samples.column_names if name.startswith("label.")]
    for what, given, allowed in (
        ("source", source, SOURCES),
        ("feature", feature, known),
        ("site", site, conditioned["site"].unique().to_pylist()),
        ("bandwidth", bandwidth, sorted(conditioned["bandwidth"].unique().to_pylist())),
    ):
        if given not in allowed:
            raise UserError(
                f"this run has no samples of this {what}", given=given, allowed=", ".join(map(str, allowed))
            )
    part = conditioned.filter((pc.field("site") == site) & (pc.field("bandwidth") == bandwidth))
    targets = pq.read_table(run / "collect" / "inputs.parquet").filter(pc.field("split") == "target").sort_by("row")
    return _of(part, targets[f"label.{feature}"].to_pylist(), source, feature)


def _of(samples: pa.Table, own: list[Any], source: str, feature: str) -> Consistency:
    """The samples are sorted by target, the same number of each."""
    values = {
        value: code for code, value in enumerate(sorted({*own, *samples[f"label.{feature}"].to_pylist()} - {None}))
    }
    labels = np.array([values.get(label, -1) for label in samples[f"label.{feature}"].to_pylist()])
    column = samples["weight" if source == "weighted" else "verified"]
    weights = np.nan_to_num(column.to_numpy(zero_copy_only=False).astype(float)).reshape(len(own), -1)
    sizes = effective_sample_size(weights)
    shares = label_shares(labels.reshape(len(own), -1), weights, max(1, len(values)))
    codes = np.array([values.get(label, -1) for label in own])
    used = (codes >= 0) & (sizes >= min(COLLAPSED, weights.shape[1]))
    return Consistency(np.where(used, shares[np.arange(len(own)), codes], np.nan), sizes)
