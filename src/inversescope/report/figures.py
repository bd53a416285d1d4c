"""Specifications of the charts of a report, and their rows; a chart that the run has nothing for is left out."""

from __future__ import annotations

from typing import Any

from inversescope.charts import rows
from inversescope.charts.calibration import gaps
from inversescope.charts.curves import by_distance, distances, levels
from inversescope.charts.disentangle import disentangle
from inversescope.charts.heads import heads
from inversescope.charts.layers import layers
from inversescope.charts.overview import overview
from inversescope.charts.parts import MEASURES, Spec
from inversescope.charts.used import used
from inversescope.report.records import Records
from inversescope.verdicts import NULL_FEATURE

MAPPED = 60  # sites of the generator that the map of calibration gaps has room for


def specifications(records: Records, sites: list[str]) -> dict[str, Any]:
    """Every chart by its name; where the reader chooses the measure, one for each. Small charts are of these sites."""
    return {**(_of_scores(records, sites) if records.features else {}), **_of_draws(records)}


def _of_scores(records: Records, sites: list[str]) -> dict[str, Any]:
    features, depth, count = records.features, _depth(records), _heads(records)
    method = next((name for name in ("reference", "weighted") if _has(records, name)), "reference")
    made: dict[str, Any] = {"levels": levels(sites, records.levels, records.by_resolution)}
    if any(row["head"] is None for row in records.scores):
        made["overview"] = {measure: overview(depth, features, method, measure) for measure in MEASURES}
        made["layers"] = {measure: layers(depth, measure) for measure in MEASURES}
    if count:
        made["heads"] = {measure: heads(depth, count, measure) for measure in MEASURES}
    null = [NULL_FEATURE] if any(row["feature"] == NULL_FEATURE for row in records.by_distance) else []
    made["byDistance"] = by_distance([*features, *null])
    if records.generator_sites:
        made["gaps"] = gaps(mapped(records, sites), features, records.levels, records.by_resolution)
    return made


def _of_draws(records: Records) -> dict[str, Spec]:
    made = {}
    if records.distances:
        made["distances"] = distances(records.levels, records.by_resolution)
    if records.used and records.features:
        made["used"] = used()
    if records.disentangled:
        of_all = {
            column: list(dict.fromkeys(row[column] for row in records.disentangled)) for column in ("site", "method")
        }
        made["disentangle"] = disentangle(of_all["site"], of_all["method"])
    return made


def mapped(records: Records, sites: list[str]) -> list[str]:
    """The sites in the map of calibration gaps: all of the generator's, or these where there are too many."""
    return records.generator_sites if len(records.generator_sites) <= MAPPED else sites


def scores(records: Records) -> list[dict[str, Any]]:
    """Rows of scores with their level and the verdict of the causal test."""
    return rows.of_scores(records.scores, records.used)


def _depth(records: Records) -> int:
    return 1 + max((row["layer"] for row in records.scores if row["layer"] is not None), default=0)


def _heads(records: Records) -> int:
    return 1 + max((row["head"] for row in records.scores if row["head"] is not None), default=-1)


def _has(records: Records, method: str) -> bool:
    return any(row["method"] == method for row in records.scores)
