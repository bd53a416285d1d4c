"""Cause, Isolate and Disentangle from what the subject answered (Huang et al. 2024, arXiv 2402.17700).

Arithmetic on records; knows no subject. Records: `records.disentangle`. Undefined is NaN here, null there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float
from numpy import ndarray

from inversescope import records
from inversescope.records.levels import Level
from inversescope.sites import Site
from inversescope.stats import intervals

# Origin of the activation that replaces the question's own. The last three are controls.
SAMPLES, POOL = "samples", "pool"
MATCHED = {SAMPLES: "samples, matched", POOL: "pool, matched"}  # differing in the attribute, agreeing in all others
MEANS = {SAMPLES: "samples, means", POOL: "pool, means"}  # the own activation, moved by a difference of means
SHUFFLED, OWN, NOTHING = "pool, shuffled", "own", "nothing"
METHODS = (SAMPLES, MATCHED[SAMPLES], MEANS[SAMPLES], POOL, MATCHED[POOL], MEANS[POOL], SHUFFLED, OWN, NOTHING)

Run = Mapping[str, Any]


def results(runs: Sequence[Run], attributes: Sequence[str], levels: Mapping[Site, Level]) -> tuple[pa.Table, pa.Table]:
    """`results.parquet`, of each site and method one row an attribute and one over all, and `isolation.parquet`.

    Args:
        runs: rows of `runs.parquet`: of each site, method, attribute, attribute in question and target.
        attributes: the attributes that questions are about.
        levels: level of the samples at each site.
    """
    of_place: defaultdict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        of_place[run["site"], run["method"]].append(run)
    rows, isolation = [], []
    for (name, method), here in of_place.items():
        site = Site.parse(name)
        cell = {"site": name, "method": method}
        address = {"point": site.series, "layer": site.layer, "head": site.head}
        address |= levels[site].columns
        by_attribute = {
            attribute: _Measured([run for run in here if run["attribute"] == attribute]) for attribute in attributes
        }
        for attribute, measured in (*by_attribute.items(), (None, _Measured(here))):
            rows.append(cell | {"attribute": attribute} | address | measured.record())
        for attribute, measured in by_attribute.items():
            isolation += [cell | {"attribute": attribute} | row for row in measured.isolation()]
    return records.disentangle.RESULTS.of(rows), records.disentangle.ISOLATION.of(isolation)


class _Measured:
    """Runs of one site and method, of one attribute or of all: one number for each measure and target."""

    def __init__(self, runs: Sequence[Run]):
        self._targets = sorted({run["target"] for run in runs})
        self._caused = [run for run in runs if run["asked"] == run["attribute"]]
        self._kept = [run for run in runs if run["asked"] != run["attribute"]]

    def record(self) -> dict[str, Any]:
        """The columns of `results.parquet` that are measured."""
        cause, isolate = self._mean(self._caused, "source"), self._mean(self._kept, "base")
        both = {"cause": cause, "isolate": isolate, "disentangle": (cause + isolate) / 2}
        return {
            "targets": int((~np.isnan(cause)).sum()),
            "pairs": sum(run["pairs"] for run in self._caused),
            **{
                column: value
                for name, values in both.items()
                for column, value in intervals.fields(name, intervals.mean(values, 0, 1)).items()
            },
        }

    def isolation(self) -> list[dict[str, Any]]:
        """One row for each other attribute in question."""
        of_asked: defaultdict[str, list[Run]] = defaultdict(list)
        for run in self._kept:
            of_asked[run["asked"]].append(run)
        return [
            {
                **{"asked": other, "targets": len(here), "pairs": sum(run["pairs"] for run in here)},
                **intervals.fields("isolate", intervals.mean(self._mean(here, "base"), 0, 1)),
            }
            for other, here in of_asked.items()
        ]

    def _mean(self, runs: Sequence[Run], answer: str) -> Float[ndarray, " targets"]:
        """Mean over attributes of a share of answers, for each target; NaN without one."""
        shares: defaultdict[int, list[float]] = defaultdict(list)
        for run in runs:
            shares[run["target"]].append(run[answer])
        return np.array([np.mean(shares[target]) if target in shares else np.nan for target in self._targets])
