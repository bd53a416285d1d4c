"""Encoded and used, encoded and unused, or neither: a verdict for each site and feature; and the headline of the run.

Arithmetic on records. The score of a feature is that of the smallest bandwidth at which it is reliable, the effects are
those of donors of the largest: near inputs share the label and everything else, far ones differ enough to have an
effect. A mined hypothesis has the score of the targets that confirmed it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from inversescope import files, records
from inversescope.verdicts import encoded_and_used, finest_reliable, is_reliable
from inversescope.verdicts.headline import headline

MINED = "mined"  # the method of a hypothesis' score
TESTED = 3  # hypotheses of a site whose use is tested
Row = Mapping[str, Any]


def used(run: Path) -> None:
    """Write `causal/used.parquet` and `causal/headline.json`, from the records of `causal`, `mine` and `score`."""
    effects = files.read_table(run / records.causal.EFFECTS.path).to_pylist()
    scores = files.read_table(run / records.score.RESULTS.path).to_pylist()
    mined = files.read_table(run / records.mine.HYPOTHESES.path, filters=pc.field("significant")).to_pylist()
    exact = files.read_json(files.verified(run / records.calibrate.VERDICTS.path))["truth"] == "exact"
    of_cell: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in scores:
        of_cell[row["site"], row["feature"]].append(row)
    rows = []
    for effect in effects:
        cell = (effect["site"], effect["feature"])
        score = finest_reliable(of_cell[cell], exact) if cell in of_cell else _mined(mined, cell, scores, exact)
        rows.append(_row(effect, score))
    record = records.causal.USED
    files.write_table(run / record.path, record.of(rows))
    record = records.causal.HEADLINE
    files.write_json(run / record.path, record.of(headline(scores, rows, exact)))


def _row(effect: Row, score: Row | None) -> dict[str, Any]:
    """A row of `used.parquet`."""
    names = records.causal.USED.names
    verdict, reason = encoded_and_used(score, effect)
    row = {name: effect.get(name) for name in names} | {"verdict": verdict, "reason": reason}
    if score is not None:
        row |= {name: score[name] for name in names if name.startswith(("method", "corrected"))}
        row |= {f"score_{name}": score[name] for name in ("resolution", "bandwidth")}
    return row


def _mined(mined: Sequence[Row], cell: tuple[str, str], scores: Sequence[Row], exact: bool) -> Row | None:
    """The score of a mined hypothesis at the smallest bandwidth at which it was confirmed and some score of its site is
    reliable; where none is, at the largest at which it was confirmed.
    """
    confirmed = [{**row, "method": MINED} for row in mined if (row["site"], row["hypothesis"]) == cell]
    reliable = {row["bandwidth"] for row in scores if row["site"] == cell[0] and is_reliable(row, exact)}
    if sure := [row for row in confirmed if row["bandwidth"] in reliable]:
        return min(sure, key=lambda row: row["bandwidth"])
    return max(confirmed, key=lambda row: row["bandwidth"], default=None)


def confirmed(run: Path, features: Collection[str]) -> dict[str, list[str]]:
    """The first expressions of each site that were confirmed, features of the task left out: those of the largest
    bandwidth first, which hold farthest from the target.
    """
    rows = files.read_table(run / records.mine.HYPOTHESES.path, filters=pc.field("significant"))
    hypotheses: dict[str, list[str]] = {}
    for row in rows.sort_by([("bandwidth", "descending"), ("rank", "ascending")]).to_pylist():
        of_site = hypotheses.setdefault(row["site"], [])
        if len(of_site) < TESTED and row["hypothesis"] not in (*features, *of_site):
            of_site.append(row["hypothesis"])
    return hypotheses
