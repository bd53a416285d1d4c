"""Records of a finished run, read once: tables as rows, JSON as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from inversescope import files
from inversescope.errors import UserError
from inversescope.sites import Site

Row = Mapping[str, Any]

LABEL = "label."  # prefix of the columns that hold a feature's labels
CALIBRATION_FIELDS = ("site", "bandwidth", "query", "ess", "kl", "kl_low", "kl_high", "tv", "verdict", "reason")
RESULTS = ("results.parquet", "results.json")  # in run/score; copied beside the report
_ESTIMATES = tuple(f"{name}{end}" for name in ("fcr", "corrected", "bits", "gap") for end in ("", "_low", "_high"))
_PLACE = ("site", "point", "layer", "head")
SCORE_FIELDS = (
    *("method", *_PLACE, "feature", "bandwidth", "targets", "collapsed", "samples", "undecided", "unverified"),
    *(*_ESTIMATES, "chance", "p_value", "q_value", "ess", "verdict", "reason"),
)
DIAGNOSTIC_FIELDS = (
    *(*_PLACE, "bandwidth", "draws", "unverified", "acceptance", "distinct_accepted", "distinct", "novel", "ess"),
    *("collapsed", "pareto_k", "unreliable", "reference_ess", "median_distance", "prior_median_distance"),
    *("reference_acceptance", "reference_median_distance", "acceptance_counts"),
    *("edits_acceptance", "edits_median_distance"),
)
# Of causal/used.parquet, and of causal/effects.parquet what the other lacks.
USAGE_FIELDS = (
    *("site", "feature", "bandwidth", "method", "verdict", "reason"),
    *(f"{name}{end}" for name in ("corrected", "necessity", "sufficiency", "effect") for end in ("", "_low", "_high")),
)
EFFECT_FIELDS = (
    *("targets", "from_pool", "kl_own"),
    *(f"{name}_{kind}" for name in ("kl", "kept", "distance") for kind in ("same", "other", "random")),
)
HYPOTHESIS_FIELDS = (
    *("site", "bandwidth", "rank", "hypothesis", "words", "corrected", "corrected_low", "corrected_high", "bits"),
    *("bits_low", "bits_high", "chance", "q_value", "targets", "merged"),
)
DISTANCE_FIELDS = ("site", "method", "bandwidth", "low", "high", "share")
QUALITY_FIELDS = (
    *("site", "bandwidth", "distinct", "pool_distinct", "similarity", "similarity_low", "similarity_high"),
    *("pool_similarity", "pool_similarity_low", "pool_similarity_high", "nearest_train", "pool_nearest_train"),
    *("compared", "auc", "auc_low", "auc_high", "p_value"),
)
BY_DISTANCE_FIELDS = ("site", "feature", "low", "high", "targets", "pairs", "fcr", "fcr_low", "fcr_high", "chance")
WORST_FIELDS = ("site", "bandwidth", "target", "draws", "acceptance", "nearest", "nearest_text", "reasons")
_SAMPLE_FIELDS = (
    "method",
    "site",
    "bandwidth",
    "target",
    "sample",
    "text",
    "verified",
    "distance",
    "weight",
    "accepted",
)


PROPOSAL_FIELDS = (
    *("site", "bandwidth", "model", "words", "kind", "feature", "status", "reason", "targets", "undecided", "unparsed"),
    *("corrected", "corrected_low", "corrected_high", "bits", "fcr", "chance", "shuffled", "q_value"),
    *("sensitivity", "specificity", "repeated", "negated"),
)


DISENTANGLE_FIELDS = (
    *("site", "method", "attribute", "bandwidth", "targets", "pairs"),
    *(f"{name}{end}" for name in ("cause", "isolate", "disentangle") for end in ("", "_low", "_high")),
)


@dataclass(frozen=True)
class Records:
    """The records of one run that the report shows, rows in the order of the files; None means undefined."""

    run: Path
    config: dict[str, Any]
    provenance: dict[str, Any]
    accuracy: dict[str, Any]
    scores: list[Row]
    diagnostics: list[Row]
    distances: list[Row]
    quality: list[Row]
    by_distance: list[Row]
    worst_targets: list[Row]
    used: list[Row]
    headline: dict[str, Any]
    calibration: list[Row]
    hypotheses: list[Row]
    search: dict[str, Any]
    verdicts: dict[str, Any]
    targets: dict[int, Row]
    samples: pa.Table
    proposals: list[Row]
    disentangled: list[Row]

    @property
    def features(self) -> list[str]:
        """Every feature scored, in the order of the records."""
        return list(dict.fromkeys(row["feature"] for row in self.scores))

    @property
    def bandwidths(self) -> list[float]:
        """Every bandwidth h of the run, rising."""
        rows = (*self.scores, *self.diagnostics)
        return sorted({row["bandwidth"] for row in rows if row["bandwidth"] is not None})

    @property
    def counting_samples(self) -> pa.Table:
        """The samples of the sites and bandwidths at which acceptance has a meaning."""
        counting = [(row["site"], row["bandwidth"]) for row in self.diagnostics if row["acceptance_counts"]]
        places = zip(self.samples["site"].to_pylist(), self.samples["bandwidth"].to_pylist(), strict=True)
        return self.samples.filter(pa.array([place in counting for place in places], pa.bool_()))

    @property
    def exact(self) -> bool:
        """True where the reference is the exact distribution, because every input of the prior was read."""
        return self.verdicts["truth"] == "exact"

    @property
    def generator_sites(self) -> list[str]:
        """The sites for which the generator was sampled, in order of depth."""
        sites = {Site.parse(row["site"]) for row in self.diagnostics}
        return [str(site) for site in sorted(sites, key=lambda site: site.depth)]


def load(run: Path) -> Records:
    """Read the records of a finished run.

    Raises:
        UserError: a record is missing, unreadable, or lacks a column.
    """
    inputs = _table(run / "collect" / "inputs.parquet", ("split", "row", "text"))
    targets = inputs.filter(pc.field("split") == "target").to_pylist()
    samples = _table(run / "verify" / "samples.parquet", _SAMPLE_FIELDS)
    for name in RESULTS:
        _existing(run / "score" / name)
    return Records(
        run=run,
        config=_json(run / "resolved.json"),
        provenance=_json(run / "provenance.json"),
        accuracy=_json(run / "task" / "accuracy.json"),
        scores=_table(run / "score" / "results.parquet", SCORE_FIELDS).to_pylist(),
        diagnostics=_table(run / "score" / "diagnostics.parquet", DIAGNOSTIC_FIELDS).to_pylist(),
        distances=_table(run / "score" / "distances.parquet", DISTANCE_FIELDS).to_pylist(),
        quality=_table(run / "score" / "quality.parquet", QUALITY_FIELDS).to_pylist(),
        by_distance=_table(run / "score" / "by_distance.parquet", BY_DISTANCE_FIELDS).to_pylist(),
        worst_targets=_table(run / "score" / "worst_targets.parquet", WORST_FIELDS).to_pylist(),
        used=_used(run),
        headline=_json(run / "causal" / "headline.json"),
        calibration=_table(run / "calibrate" / "calibration.parquet", CALIBRATION_FIELDS).to_pylist(),
        hypotheses=_table(run / "mine" / "hypotheses.parquet", HYPOTHESIS_FIELDS).to_pylist(),
        search=_json(run / "mine" / "search.json"),
        verdicts=_json(run / "calibrate" / "verdicts.json"),
        targets={row["row"]: row for row in targets},
        samples=samples.filter(pc.field("method") == "generator"),
        proposals=_on_request(run / "propose" / "proposals.parquet", PROPOSAL_FIELDS),
        disentangled=_on_request(run / "disentangle" / "results.parquet", DISENTANGLE_FIELDS),
    )


def _used(run: Path) -> list[Row]:
    """Verdicts on each site and feature, beside the effects that were measured."""
    verdicts = _table(run / "causal" / "used.parquet", USAGE_FIELDS).to_pylist()
    effects = _table(run / "causal" / "effects.parquet", ("site", "feature", *EFFECT_FIELDS)).to_pylist()
    measured = {(row["site"], row["feature"]): {name: row[name] for name in EFFECT_FIELDS} for row in effects}
    return [row | measured[row["site"], row["feature"]] for row in verdicts]


def _on_request(path: Path, columns: tuple[str, ...]) -> list[Row]:
    """Rows of a command that is no step; none where it was not called."""
    return _table(path, columns).to_pylist() if files.finished(path.parent) else []


def _table(path: Path, columns: tuple[str, ...]) -> pa.Table:
    try:
        table = pq.read_table(_existing(path))
    except pa.ArrowInvalid as error:
        raise _damaged(path, error) from error
    if missing := [name for name in columns if name not in table.column_names]:
        raise UserError(
            f"{path} lacks columns that the report needs",
            given=", ".join(table.column_names),
            allowed=", ".join(missing),
            remedy="report with the version of InverseScope that made the run (see provenance.json)",
        )
    return table


def _json(path: Path) -> dict[str, Any]:
    return files.read_json(_existing(path))


def _existing(path: Path) -> Path:
    if not path.exists():
        raise UserError("a record of this run is missing", given=path, remedy="finish the run first, with --resume")
    return path


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(
        "a record of this run cannot be read",
        given=f"{path}: {error}",
        remedy=f"delete the folder {path.parent} and start again with --resume",
    )
