"""Encoded and used, encoded and unused, or neither: a verdict for each site and feature, from its score and its effect.

Arithmetic on records. What is encoded is said at the donors' bandwidth: by the reference where its effective sample
size is enough, else by the weighted samples; of a hypothesis that was mined, by the targets that confirmed it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from inversescope import files, records
from inversescope.verdicts import SIGNIFICANT, encoded_and_used, first_trusted

MINED = "mined"  # the source of a hypothesis' score
ASKED = 3  # hypotheses of a site, whether the subject uses them
Row = Mapping[str, Any]


def used(run: Path) -> None:
    """Write `causal/used.parquet`, from the records of `causal`, `mine` and `score`."""
    effects = pq.read_table(run / "causal" / "effects.parquet").to_pylist()
    scores = pq.read_table(run / "score" / "results.parquet").to_pylist()
    mined = pq.read_table(run / records.score.HYPOTHESES.path).to_pylist()
    known = {row["feature"] for row in scores}
    scores += [row | {"source": MINED, "feature": name} for row in mined if (name := row["hypothesis"]) not in known]
    exact = files.read_json(run / "calibrate" / "verdicts.json")["truth"] == "exact"
    found = {(row["source"], row["site"], row["feature"], row["bandwidth"]): row for row in scores}
    record, rows = records.causal.USED, []
    for effect in effects:
        place = (effect["site"], effect["feature"], effect["bandwidth"])
        score = first_trusted([found.get((source, *place)) for source in ("reference", "weighted", MINED)], exact)
        verdict, reason = encoded_and_used(score, effect)
        measured = {name: effect.get(name) for name in record.names} | {"verdict": verdict, "reason": reason}
        if score is not None:
            measured |= {name: score[name] for name in record.names if name.startswith(("source", "corrected"))}
        rows.append(measured)
    files.write_table(run / record.path, record.of(rows))


def confirmed(run: Path, bandwidth: float, features: Collection[str]) -> dict[str, list[str]]:
    """The first expressions of each site that were confirmed at a bandwidth; what says a feature is none."""
    wanted = (pc.field("bandwidth") == bandwidth) & (pc.field("q_value") <= SIGNIFICANT)
    rows = pq.read_table(run / records.score.HYPOTHESES.path, filters=wanted)
    found: dict[str, list[str]] = {}
    for row in rows.sort_by("rank").to_pylist():
        of_site = found.setdefault(row["site"], [])
        if len(of_site) < ASKED and row["hypothesis"] not in features:
            of_site.append(row["hypothesis"])
    return found
