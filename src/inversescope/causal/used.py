"""Encoded and used, encoded and unused, or neither: a verdict for each site and feature, from its score and its effect.

Arithmetic on records. What is encoded is said at the donors' bandwidth: by the reference where its effective sample
size is enough, else by the weighted samples; of a hypothesis that was mined, by the targets that confirmed it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from inversescope import files
from inversescope.causal.effects import NOTHING
from inversescope.score.mine import HYPOTHESES
from inversescope.verdicts import ENCODED, SIGNIFICANT, TRUSTED, USED

MINED = "mined"  # the source of a hypothesis' score
ASKED = 3  # hypotheses of a site, whether the subject uses them
_ESTIMATES = ("corrected", "necessity", "sufficiency", "effect")
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("site", "feature", "source")),
        *(
            (name, pa.float64())
            for name in ("bandwidth", *(f"{n}{end}" for n in _ESTIMATES for end in ("", "_low", "_high")))
        ),
        *((name, pa.string()) for name in ("verdict", "reason")),
    ]
)
Row = Mapping[str, Any]


def used(run: Path) -> None:
    """Write `causal/used.parquet`, from the records of `causal`, `mine` and `score`."""
    effects = pq.read_table(run / "causal" / "effects.parquet").to_pylist()
    scores = pq.read_table(run / "score" / "results.parquet").to_pylist()
    mined = pq.read_table(run / "mine" / HYPOTHESES).to_pylist()
    known = {row["feature"] for row in scores}
    scores += [row | {"source": MINED, "feature": name} for row in mined if (name := row["hypothesis"]) not in known]
    exact = files.read_json(run / "calibrate" / "verdicts.json")["truth"] == "exact"
    found = {(row["source"], row["site"], row["feature"], row["bandwidth"]): row for row in scores}
    rows = []
    for effect in effects:
        place = (effect["site"], effect["feature"], effect["bandwidth"])
        score = _trusted([found.get((source, *place)) for source in ("reference", "weighted", MINED)], exact)
        verdict, reason = of_place(score, effect)
        measured = {name: effect.get(name) for name in SCHEMA.names} | {"verdict": verdict, "reason": reason}
        if score is not None:
            measured |= {name: score[name] for name in SCHEMA.names if name.startswith(("source", "corrected"))}
        rows.append(measured)
    files.write_table(run / "causal" / "used.parquet", pa.Table.from_pylist(rows, schema=SCHEMA))


def confirmed(run: Path, bandwidth: float, features: Collection[str]) -> dict[str, list[str]]:
    """The first expressions of each site that were confirmed at a bandwidth; what says a feature is none."""
    rows = pq.read_table(
        run / "mine" / HYPOTHESES, filters=(pc.field("bandwidth") == bandwidth) & (pc.field("q_value") <= SIGNIFICANT)
    )
    found: dict[str, list[str]] = {}
    for row in rows.sort_by("rank").to_pylist():
        of_site = found.setdefault(row["site"], [])
        if len(of_site) < ASKED and row["hypothesis"] not in features:
            of_site.append(row["hypothesis"])
    return found


def of_place(score: Row | None, effect: Row) -> tuple[str, str]:
    """The verdict on a site and feature, and the measurement that decided it; a limit that an interval contains decides
    nothing.
    """
    if score is None:
        return "cannot tell", "no score is defined here"
    scored, moved = _told(score, "corrected", "score"), effect["reason"] or _told(effect, "necessity", "necessity")
    encoded = _beyond(score, "corrected", ENCODED)
    moves = False if effect["reason"] == NOTHING else _beyond(effect, "necessity", USED)
    if encoded is None or moves is None:
        return "cannot tell", scored if encoded is None else moved
    if encoded:
        return "encoded and used" if moves else "encoded, unused", moved
    if moves:  # its neighbours do not tell the label, and yet another one moves the next token
        return "cannot tell", f"{scored}, yet {moved}"
    return "neither", scored


def _trusted(scores: Sequence[Row | None], exact: bool) -> Row | None:
    """The first score that can be heard; None where none is defined."""
    defined = [row for row in scores if row is not None and row["corrected"] is not None]
    return next((row for row in defined if row["source"] != "reference" or exact or (row["ess"] or 0) >= TRUSTED), None)


def _beyond(row: Row, name: str, limit: float) -> bool | None:
    """Whether the interval lies above a limit; None where it contains it, or there is none."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if low is None or high is None or low <= limit <= high:
        return None
    return low > limit


def _told(row: Row, name: str, words: str) -> str:
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    if value is None:
        return f"{words} undefined"
    return f"{words} {value:.2f}" + (" (no interval)" if low is None else f" [{low:.2f}, {high:.2f}]")
