"""Rows behind charts: records, with what charts need beside them, and those of one choice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from inversescope import records
from inversescope.records.levels import level
from inversescope.verdicts import ACCEPTED, TRUSTED

Row = Mapping[str, Any]
Spec = dict[str, Any]

ALL = "all attributes"
_PLACE = ("site", "feature", "resolution", "bandwidth")


def of_scores(scores: Iterable[Row], used: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows of scores with their level, and the verdict of the causal test at the same site and feature (`use`)."""
    verdicts = {(row["site"], row["feature"]): row["verdict"] for row in used}
    return [{**row, "level": level(row), "use": verdicts.get((row["site"], row["feature"]))} for row in scores]


def of_distances(distances: Iterable[Row], diagnostics: Iterable[Row]) -> list[dict[str, Any]]:
    """Bins of the draws' distances at each site and level, each beside the share of the prior, with the median of the
    reference and the limit of acceptance where it has a meaning.
    """
    prior: dict[str, list[Row]] = {}
    drawn = {}
    for row in distances:
        if row["method"] == "prior":
            prior.setdefault(row["site"], []).append(row)
        elif row["method"] == "generator":
            drawn[row["site"], level(row), row["low"]] = row["share"]
    return [
        {
            **{name: at[name] for name in ("site", "resolution", "bandwidth")},
            "level": level(at),
            "low": bin["low"],
            "high": bin["high"],
            "draws": drawn.get((at["site"], level(at), bin["low"])),
            "prior": bin["share"],
            "median": at["reference_median_distance"],
            "limit": ACCEPTED if at["acceptance_counts"] else None,
        }
        for at in diagnostics
        for bin in prior.get(at["site"], [])
    ]


def of_gaps(scores: Iterable[Row]) -> list[dict[str, Any]]:
    """The generator's scores with their calibration gap, beside the reference's; without one, the reason (`why`)."""
    rows = list(scores)
    references = {(row["site"], row["feature"], level(row)): row for row in rows if row["method"] == "reference"}
    return [
        _gap(row, references.get((row["site"], row["feature"], level(row))))
        for row in rows
        if row["method"] == "generator"
    ]


def _gap(row: Row, reference: Row | None) -> dict[str, Any]:
    ess = None if reference is None else reference["ess"]
    why = row["reason"] or "the gap is undefined" if row["gap"] is None else None
    if reference is None or ess is None:
        why = "the pool gives no reference here"
    elif not reference["trusted"]:
        why = f"no reference: effective sample size {ess:.1f} < {TRUSTED:g}"
    names = [*_PLACE, "verdict", "targets", *(f"{name}{end}" for name in ("gap", "fcr") for end in records.ENDS)]
    shown = {name: row[name] for name in names} | {"level": level(row), "why": why, "ess": ess}
    if why is not None:
        shown |= {f"gap{end}": None for end in records.ENDS}
    ends = {f"reference{end}": None if reference is None else reference[f"fcr{end}"] for end in records.ENDS}
    return shown | ends


def of_disentangled(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows of RAVEL's metric with the attribute in words."""
    return [{**row, "attribute": row["attribute"] or ALL} for row in rows]


def of_used(used: Iterable[Row], places: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Rows of the causal test with the layer and the head of their sites."""
    return [{**row, "layer": places[row["site"]][1], "head": places[row["site"]][2]} for row in used]


def select(rows: Iterable[Row], spec: Spec, choices: Mapping[str, Any]) -> list[Row]:
    """Rows that a chart shows at these choices, by the rule in its `usermeta`: `where` holds the values that a column
    may have; `by` the choice that it must equal. A row without a level is of every level.
    """
    rule = spec["usermeta"]
    wanted = {column: choices[choice] for column, choice in rule["by"].items()}

    def shown(row: Row) -> bool:
        listed = all(row[column] in values for column, values in rule["where"].items())
        return listed and all(
            row[column] == value or (column == "level" and row[column] is None) for column, value in wanted.items()
        )

    return [row for row in rows if shown(row)]


def with_values(spec: Spec, rows: Iterable[Row]) -> Spec:
    """The specification with its values inside."""
    return {**spec, "data": {"values": [dict(row) for row in rows]}}
