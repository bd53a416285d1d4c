"""Encoded and used, encoded and unused, or neither: a verdict for each site and feature; and the headline of the run.

Arithmetic on records. A feature's score is taken at the donors' bandwidth: the reference's where it is trusted, else
that of the weighted samples; a mined hypothesis has that of the targets that confirmed it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from inversescope import files, records
from inversescope.verdicts import encoded_and_used, first_trusted
from inversescope.verdicts.headline import headline

MINED = "mined"  # the method of a hypothesis' score
TESTED = 3  # hypotheses of a site whose use is tested
Row = Mapping[str, Any]


def used(run: Path) -> None:
    """Write `causal/used.parquet` and `causal/headline.json`, from the records of `causal`, `mine` and `score`."""
    effects = pq.read_table(run / "causal" / "effects.parquet").to_pylist()
    scores = pq.read_table(run / "score" / "results.parquet").to_pylist()
    mined = pq.read_table(run / records.score.HYPOTHESES.path).to_pylist()
    features = {row["feature"] for row in scores}
    expressions = [
        row | {"method": MINED, "feature": name} for row in mined if (name := row["hypothesis"]) not in features
    ]
    exact = files.read_json(run / "calibrate" / "verdicts.json")["truth"] == "exact"
    by_cell = {(row["method"], row["site"], row["feature"], row["bandwidth"]): row for row in (*scores, *expressions)}
    record, rows = records.causal.USED, []
    for effect in effects:
        cell = (effect["site"], effect["feature"], effect["bandwidth"])
        score = first_trusted([by_cell.get((method, *cell)) for method in ("reference", "weighted", MINED)], exact)
        verdict, reason = encoded_and_used(score, effect)
        measured = {name: effect.get(name) for name in record.names} | {"verdict": verdict, "reason": reason}
        if score is not None:
            measured |= {name: score[name] for name in record.names if name.startswith(("method", "corrected"))}
        rows.append(measured)
    files.write_table(run / record.path, record.of(rows))
    record = records.causal.HEADLINE
    files.write_json(run / record.path, record.of(headline(scores, rows, exact)))


def confirmed(run: Path, bandwidth: float, features: Collection[str]) -> dict[str, list[str]]:
    """The first expressions of each site that were confirmed at a bandwidth, features of the task left out."""
    wanted = (pc.field("bandwidth") == bandwidth) & pc.field("significant")
    rows = pq.read_table(run / records.score.HYPOTHESES.path, filters=wanted)
    hypotheses: dict[str, list[str]] = {}
    for row in rows.sort_by("rank").to_pylist():
        of_site = hypotheses.setdefault(row["site"], [])
        if len(of_site) < TESTED and row["hypothesis"] not in features:
            of_site.append(row["hypothesis"])
    return hypotheses
