"""The records that scoring reads, written from plain lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy import ndarray
from safetensors.numpy import save_file

from inversescope import files, records
from inversescope.progress import silent
from inversescope.score.score import score
from inversescope.sites import Site
from inversescope.stats.intervals import defined
from inversescope.stats.kernel import Kernel
from inversescope.stats.weights import effective_sample_size, largest_reliable_shape, pareto_smoothed
from inversescope.verdicts import TOO_FEW

SITE = Site("resid_post", 0)
NOISE_FLOOR = 0.005
Label = str | None


@dataclass
class Draws:
    """All draws of one target at one bandwidth (None: without a condition): a label each, "-" where it never ended.
    Each is of one token: its number, unless given. Row r of the pool and of the targets has token r.

    `edits` are of the target instead, and of no bandwidth.
    `weights` are 1/n unless given; what never ended has none. The columns that weights are made of say the same.
    `left_out`: the reason why the target counts in no mean; unless given, by the effective sample size alone.
    `sources`: number of the first draws that are the target's own source input.
    """

    target: int
    bandwidth: float | None
    labels: Sequence[Label]
    weights: Sequence[float] | None = None
    distance: float = 0.05
    site: Site = SITE
    edits: bool = False
    tokens: Sequence[int] | None = None
    left_out: str | None = "by size"
    sources: int = 0

    @property
    def method(self) -> str:
        return "edits" if self.edits else "generator" if self.bandwidth else "no condition"


def write_records(
    run: Path,
    pool: Sequence[Label],
    targets: Sequence[Label],
    draws: Sequence[Draws],
    distances: ndarray,
    failing_at: float | None = None,
    bits: float | None = None,
    tokens: Mapping[str, Sequence[Sequence[int]]] = MappingProxyType({}),
) -> None:
    """Records of the steps before `score`, for the feature `f`; `distances` is [pool, targets], the same at all sites
    that are drawn for. Where there are no edits, each target has a far one of its own label. At one bandwidth the
    calibration may have found the generator undertrained.

    `bits` are kept at every level; None: not known. `tokens` are those of the inputs of the pool and the targets.
    """
    sites = list(dict.fromkeys(each.site for each in draws))
    if not any(each.edits for each in draws):
        draws = [
            *draws,
            *(Draws(t, None, [label], None, 9.0, s, True) for s in sites for t, label in enumerate(targets)),
        ]
    parts = {"pool": pool, "target": targets}
    inputs = [
        {
            "split": split,
            "row": row,
            "tokens": tokens[split][row] if tokens else [row],
            "text": label or "",
            "probability": None,
            "label.f": label,
        }
        for split, part in parts.items()
        for row, label in enumerate(part)
    ]
    files.write_table(run / records.collect.INPUTS.path, records.collect.INPUTS.of(inputs))
    rows = [row for each in draws for row in _rows(each)]
    files.write_table(run / records.verify.SAMPLES.path, records.verify.SAMPLES.of(rows))
    floors = [{"site": str(site), "inputs": 8, "median": 0.001, "floor": NOISE_FLOOR} for site in sites]
    files.write_table(run / records.collect.NOISE_FLOOR.path, records.collect.NOISE_FLOOR.of(floors))
    folder = run / "reference"
    folder.mkdir()
    save_file({str(site): distances.astype(np.float32) for site in sites}, folder / "distances.safetensors")
    write_levels(
        run, {site: sorted({d.bandwidth for d in draws if d.site == site and d.bandwidth}) for site in sites}, bits
    )
    failed = {"verdict": "undertrained", "reason": "subject -0.21 at h = 0.1"}
    columns = dict.fromkeys(records.calibrate.CALIBRATION.names) | {"targets": 32, "in_training_expected": 0.0}
    rows = [columns | {"site": str(SITE), "bandwidth": failing_at, "query": "clean"} | failed] if failing_at else []
    files.write_table(run / records.calibrate.CALIBRATION.path, records.calibrate.CALIBRATION.of(rows))
    files.write_json(run / "task" / "accuracy.json", {"defined": False})


def write_levels(run: Path, bandwidths: Mapping[Site, Sequence[float]], bits: float | None = None) -> None:
    """Bandwidths that were set themselves, of each site."""
    found = {"resolution": None, "channel": None, "bits": bits, "pool_inputs": 1.0, "prior_inputs": None}
    rows = [found | {"site": str(site), "bandwidth": h} for site, of_site in bandwidths.items() for h in of_site]
    files.write_table(run / records.collect.BANDWIDTHS.path, records.collect.BANDWIDTHS.of(rows))


def scored(run: Path, site: Site = SITE, feature: str = "f") -> dict[tuple[str, float | None], Mapping]:
    """Score the records; the rows of the results by source and bandwidth."""
    score(run, Kernel.GAUSSIAN, 0, silent)
    rows = files.read_json(run / "score" / "results.json")["scores"]
    of_feature = [row for row in rows if row["site"] == str(site) and row["feature"] == feature]
    return {(row["method"], row["bandwidth"]): row for row in of_feature}


def _rows(draws: Draws) -> list[dict]:
    ended = [label != "-" for label in draws.labels]
    weights = draws.weights or [1 / sum(ended) if sum(ended) else 0.0] * len(ended)
    conditioned, generated = draws.method != "no condition", draws.method == "generator"
    measured = [good and conditioned for good in ended]
    known = np.array(weights) * ended
    shape, size = defined(pareto_smoothed(known)[1]), float(effective_sample_size(known))
    reason = (TOO_FEW if size < min(4, len(known)) else None) if draws.left_out == "by size" else draws.left_out
    return [
        {
            "method": draws.method, "text": label if ended[i] else None,
            "site": str(draws.site) if conditioned else None, "resolution": None, "bandwidth": draws.bandwidth,
            "target": draws.target, "sample": i,
            "tokens": [draws.tokens[i] if draws.tokens else i] if ended[i] else None,
            "log_q": None if draws.edits else -30.0,
            "log_prior": np.log(weights[i]) + 0.5 * (draws.distance / draws.bandwidth) ** 2
            if draws.bandwidth and ended[i] else None,
            "verified": ended[i],
            "distance": draws.distance if measured[i] else None,
            "weight": weights[i] if measured[i] and generated else None, "pareto_k": shape if generated else None,
            "unreliable": shape is not None and shape > largest_reliable_shape(len(known)),
            "times": 1, "log_normaliser": -1.0 if generated else None, "log_floor": -2.0 if generated else None,
            "left_out": reason if generated else None, "source": i < draws.sources,
            "accepted": measured[i] and draws.distance <= 0.1, "in_train": False,
            "label.f": label if ended[i] else None,
        }
        for i, label in enumerate(draws.labels)
    ]  # fmt: skip
