"""Methods compared over the targets, which are the independent units: distances, ratios, wins, shares, features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from inversescope.natural_text.ruler import Ruler
from inversescope.records import text as records
from inversescope.stats.intervals import UNDEFINED, Estimate, fields, mean, paired
from inversescope.stats.resampling import ratio

Row = Mapping[str, Any]


def comparison(rows: Sequence[Row], seed: int) -> Iterator[dict[str, Any]]:
    """Rows of `comparison.parquet` from those of `methods.parquet`."""
    for site, method, own in _groups(rows):
        nearest = _by_target(rows, site, records.NEAREST)
        here = _by_target(rows, site, method)
        both = sorted(nearest.keys() & here.keys())
        ours, theirs = (np.array([side[target]["distance"] for target in both]) for side in (nearest, here))
        compared = method != records.NEAREST and len(both) > 0
        log_p = np.array([np.nan if row["log_p"] is None else row["log_p"] for row in own], dtype=float)
        yield {
            "site": site,
            "method": method,
            "targets": len(own),
            **fields("distance", mean(np.array([row["distance"] for row in own]))),
            **fields("log_p", mean(log_p)),
            **fields("ratio", ratio(ours, theirs, seed) if compared else UNDEFINED),
            **fields("wins", mean((ours < theirs).astype(float), 0, 1) if compared else UNDEFINED),
        }


def shares(rows: Sequence[Row], rulers: Mapping[str, Ruler]) -> Iterator[dict[str, Any]]:
    """Rows of `shares.parquet`: acceptance over the ruler, and recovery of tokens by their place from the end."""
    for site, method, own in _groups(rows):
        distances = np.array([row["distance"] for row in own])
        for shared, limit in rulers[site].medians.items():
            accepted = mean((distances <= limit).astype(float), 0, 1)
            yield _share(site, method, records.ACCEPTANCE, shared, accepted)
        yield from recovered(site, method, [row["same"] for row in own])


def recovered(site: str, method: str, same: Sequence[Sequence[float]]) -> Iterator[dict[str, Any]]:
    """Rows of `shares.parquet` on the recovery of tokens, from the shares of every target at each place."""
    for place in range(min(map(len, same), default=0)):
        share = mean(np.array([row[place] for row in same]), 0, 1)
        yield _share(site, method, records.RECOVERY, place + 1, share)


def above(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """Rows of `above.parquet` from those of `features.parquet`."""
    names = dict.fromkeys((row["site"], row["bits_wanted"], row["feature"]) for row in rows)
    for site, bits, feature in names:
        own = [row for row in rows if (row["site"], row["bits_wanted"], row["feature"]) == (site, bits, feature)]
        draws, ending, prior = (_column(own, name) for name in ("draws", "ending", "prior"))
        yield {
            "site": site,
            "bits_wanted": bits,
            "feature": feature,
            "targets": len(own),
            **fields("draws", mean(draws, 0, 1)),
            **fields("above_ending", paired(draws, ending)),
            **fields("above_prior", paired(draws, prior)),
        }


def _share(site: str, method: str, kind: str, tokens: int, share: Estimate) -> dict[str, Any]:
    return {"site": site, "method": method, "kind": kind, "tokens": tokens, **fields("share", share)}


def _groups(rows: Sequence[Row]) -> Iterator[tuple[str, str, list[Row]]]:
    """Rows of each site and method."""
    for site, method in dict.fromkeys((row["site"], row["method"]) for row in rows):
        yield site, method, [row for row in rows if (row["site"], row["method"]) == (site, method)]


def _by_target(rows: Sequence[Row], site: str, method: str) -> dict[int, Row]:
    return {row["target"]: row for row in rows if (row["site"], row["method"]) == (site, method)}


def _column(rows: Sequence[Row], name: str) -> Float[ndarray, " targets"]:
    return np.array([row[name] for row in rows], dtype=float)
