"""Rows behind charts: records, with what charts need beside them, and those of one choice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from inversescope.records.levels import level
from inversescope.verdicts import ACCEPTED

Row = Mapping[str, Any]
Spec = dict[str, Any]


def of_scores(scores: Iterable[Row], used: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows of scores with their level, and the verdict of the causal test at the same site and feature (`use`)."""
    verdicts = {(row["site"], row["feature"]): row["verdict"] for row in used}
    return [{**row, "level": level(row), "use": verdicts.get((row["site"], row["feature"]))} for row in scores]


def of_distances(distances: Iterable[Row], diagnostics: Iterable[Row]) -> list[dict[str, Any]]:
    """Bins of the draws' distances at each site and level, each beside the share of the prior, with the median of the
    reference and the limit of acceptance where it has a meaning.
    """
    rows = list(distances)
    prior = {(row["site"], row["low"]): row["share"] for row in rows if row["method"] == "prior"}
    drawn = {(row["site"], row["method"], level(row), row["low"]): row["share"] for row in rows}
    bins = [(row["site"], row["low"], row["high"]) for row in rows if row["method"] == "prior"]
    return [
        {
            "site": site,
            "level": level(at),
            "resolution": at["resolution"],
            "bandwidth": at["bandwidth"],
            "low": low,
            "high": high,
            "draws": drawn.get((site, "generator", level(at), low)),
            "prior": prior[site, low],
            "median": at["reference_median_distance"],
            "limit": ACCEPTED if at["acceptance_counts"] else None,
        }
        for at in diagnostics
        for site, low, high in bins
        if site == at["site"]
    ]


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
