"""Targets shown in the report, and their samples beside the source input with the differing words marked."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import inf
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from inversescope.records import LABEL
from inversescope.records.levels import level
from inversescope.report.records import Records, Row
from inversescope.verdicts.wording import pieces, visible

TARGETS = 6  # shown, evenly over the ranks of acceptance, best and worst included
SITES = 12  # shown in the sections with one site at a time, evenly over depth
_NO_MARKS = {"left_out": None, "unreliable": False}  # of a target without samples
UNENDED = "(never ended)"  # stands for the text of a sample that the generator did not finish
BUDGET = 2_000_000  # characters of sample text that the page carries

Item = TypeVar("Item")


def evenly(items: Sequence[Item], n: int) -> list[Item]:
    """At most `n` of the items, evenly spaced, first and last included."""
    if len(items) <= n:
        return list(items)
    return [items[round(i * (len(items) - 1) / (n - 1))] for i in range(n)]


def share(count: float | int, whole: int) -> float | None:
    """part/whole, undefined for an empty whole."""
    return count / whole if whole else None


def acceptance(samples: pa.Table, by: list[str]) -> dict[Any, float | None]:
    """Share of draws other than the source that are accepted, keyed by the values of `by`; None where none of a group
    was verified.
    """
    groups = samples.group_by(by, use_threads=False).aggregate([])
    every = {tuple(row[name] for name in by) if len(by) > 1 else row[by[0]]: None for row in groups.to_pylist()}
    samples = samples.filter(~pc.field("source"))
    counted = samples.select(by).append_column("accepted", samples["accepted"].cast(pa.int64()))
    counted = counted.append_column("verified", samples["verified"].cast(pa.int64()))
    groups = counted.group_by(by, use_threads=False)
    rows = groups.aggregate([("accepted", "sum"), ("verified", "sum"), ("verified", "count")]).to_pylist()
    return every | {
        tuple(row[name] for name in by) if len(by) > 1 else row[by[0]]:
        row["accepted_sum"] / row["verified_count"] if row["verified_sum"] else None
        for row in rows
    }  # fmt: skip


def choose(records: Records) -> list[dict[str, Any]]:
    """The targets shown, the best first: row, text, acceptance, rank `of` how many (1 is best), labels, and
    the sites at which they are outside of the prior.

    Ranked by acceptance where it has a meaning, then by the mean distance of all samples.
    """
    shares, distances = acceptance(records.counting_samples, ["target"]), _mean_distances(records.samples)
    ranked = sorted(distances, key=lambda row: (-(shares.get(row) or 0.0), distances[row], row))
    return [
        {
            "row": row,
            "text": visible(records.targets[row]["text"]),
            "acceptance": shares.get(row),
            "rank": ranked.index(row) + 1,
            "of": len(ranked),
            "labels": _labels(records.targets[row], records.features),
            "outside": [verdict["site"] for verdict in records.outside if verdict["target"] == row],
        }
        for row in evenly(ranked, TARGETS)
    ]


def _mean_distances(samples: pa.Table) -> dict[int, float]:
    """The mean distance of each target's samples; infinite where none was verified."""
    groups = samples.group_by("target", use_threads=False).aggregate([("distance", "mean")]).to_pylist()
    return {row["target"]: inf if row["distance_mean"] is None else row["distance_mean"] for row in groups}


def cards(records: Records, targets: list[dict[str, Any]], sites: list[str]) -> tuple[list[Any], int]:
    """The samples shown, as nested lists [site][level][target]: groups of equal samples, nearest first (`shown`),
    why the target counts in no mean there (`left_out`), and if its k̂ is too large (`unreliable`).

    Also gives back how many draws of each target are shown: the first so many, as many as keep to `BUDGET`.
    """
    rows = pa.array([target["row"] for target in targets], records.samples.schema.field("target").type)
    here = pc.field("site").isin(pa.array(sites, pa.string()))
    chosen = records.samples.filter(here & pc.field("target").isin(rows))
    limit = _limit(chosen)
    kept: dict[tuple[str, float | None, int], list[Row]] = {}
    for sample in chosen.filter(pc.field("sample") < limit).to_pylist():
        kept.setdefault((sample["site"], level(sample), sample["target"]), []).append(sample)
    features = records.features

    def shown(site: str, number: float, target: dict[str, Any]) -> dict[str, Any]:
        samples = kept.get((site, number, target["row"]), [])
        marks = {"left_out": samples[0]["left_out"], "unreliable": samples[0]["unreliable"]} if samples else _NO_MARKS
        return {"shown": _group(samples, target["text"], features), **marks}

    return [[[shown(site, number, target) for target in targets] for number in records.levels] for site in sites], limit


def _limit(samples: pa.Table) -> int:
    draws = 1 + max(samples["sample"].to_pylist(), default=-1)
    characters = sum(len(text or UNENDED) for text in samples["text"].to_pylist())
    return draws if characters <= BUDGET else max(1, draws * BUDGET // characters)


def _group(samples: list[Row], source: str, features: list[str]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str, bool], dict[str, Any]] = {}  # equal draws differ in distance by rounding at most
    for sample in samples:
        state = "accepted" if sample["accepted"] else "verified" if sample["verified"] else "unverified"
        text = UNENDED if sample["text"] is None else sample["text"]
        group = groups.setdefault((text, state, sample["source"]), {
            "n": 0, "distance": sample["distance"], "weight": None, "state": state,
            "text": _pieces(source, text), "labels": _labels(sample, features),
            "source": sample["source"]})  # fmt: skip
        group["n"] += 1
        if sample["weight"] is not None:
            group["weight"] = (group["weight"] or 0.0) + sample["weight"]
    return sorted(groups.values(), key=lambda group: (group["distance"] is None, group["distance"] or 0.0))


def _labels(row: Row, features: list[str]) -> list[str | None]:
    return [row.get(LABEL + feature) for feature in features]


_pieces = lru_cache(maxsize=100_000)(pieces)
