"""Draws that a run has stored, for its own targets, in the form of an inversion. Reads files; runs nothing of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from inversescope import files, records
from inversescope.errors import UserError
from inversescope.report.targets import UNENDED
from inversescope.verdicts import wording
from inversescope.view.runs import read, require_run, targets_of


def samples(folder: Path, site: str, target: int, number: float) -> dict[str, Any]:
    """The stored draws of one target at a site and a level, each input once, beside the source.

    Raises:
        UserError: the step `verify` is not done, or there are none.
    """
    require_run(folder)
    own = [row for row in targets_of(folder, None) if row["row"] == target]
    path = folder / records.verify.SAMPLES.path
    if not own or not files.finished(path.parent):
        raise UserError("there are no samples", given=f"target {target}", remedy="finish the run with --resume")
    name = pc.field("resolution").is_valid()
    at = (name & (pc.field("resolution") == number)) | (~name & (pc.field("bandwidth") == number))
    wanted = (pc.field("method") == "generator") & (pc.field("site") == site) & (pc.field("target") == target) & at
    rows = read(path, wanted).to_pylist()
    if not rows:
        raise UserError("there are no samples", given=f"{site}, target {target}, level {number:g}")
    return files.plain(_answer(rows, own[0]["text"], site))


def samples_of_site(
    folder: Path, site: str, targets: Sequence[dict[str, Any]], *, addresses: bool = False
) -> Iterator[tuple[int, float, dict[str, Any] | None]]:
    """Stored draws of every target and level at a site, read at once; with `addresses` only their target and level."""
    wanted = (pc.field("method") == "generator") & (pc.field("site") == site)
    grouped: dict[tuple[int, float], list[dict[str, Any]]] = {}
    for row in read(folder / records.verify.SAMPLES.path, wanted).to_pylist():
        number = row["bandwidth"] if row["resolution"] is None else row["resolution"]
        grouped.setdefault((row["target"], number), []).append(row)
    texts = {target["row"]: target["text"] for target in targets}
    for (target, number), rows in grouped.items():
        if target in texts:
            yield target, number, None if addresses else files.plain(_answer(rows, texts[target], site))


def _answer(rows: Sequence[dict[str, Any]], source: str, site: str) -> dict[str, Any]:
    """Rows of `verify/samples.parquet`, of one target, site and level, in the form of an inversion."""
    first = rows[0]
    labels = [name.removeprefix(records.LABEL) for name in first if name.startswith(records.LABEL)]
    grouped: dict[str | None, dict[str, Any]] = {}
    for row in rows:
        group = grouped.setdefault(
            row["text"],
            {
                "text": row["text"],
                "pieces": None if row["text"] is None else wording.pieces(source, row["text"]),
                "distance": row["distance"],
                "weight": 0.0 if row["text"] is not None else None,
                "times": 0,
                "accepted": row["accepted"],
                "source": row["source"],
                "log_q": row["log_q"],
                "labels": {name: row[records.LABEL + name] for name in labels},
            },
        )
        group["times"] += 1
        if group["weight"] is not None:
            group["weight"] += row["weight"] or 0.0
    unended = f"some draws {UNENDED.strip('()')}" if None in grouped else None
    return {
        "text": source,
        "site": site,
        "level": wording.level(first),
        "bandwidth": first["bandwidth"],
        "resolution": first["resolution"],
        "draws": len(rows),
        "size": None,
        "pareto_k": first["pareto_k"],
        "left_out": first["left_out"],
        "outside": None,
        "notes": [],
        "warnings": list(filter(None, ["unreliable: the weights have a heavy tail"] * first["unreliable"] + [unended])),
        "shared": [],
        "rows": sorted(grouped.values(), key=lambda row: (row["distance"] is None, row["distance"] or 0.0)),
        "wanted": len(rows),
        "done": True,
    }
