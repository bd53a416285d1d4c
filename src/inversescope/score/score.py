"""Score every feature as a hypothesis at every site: consistency, chance, bits, intervals, controls, calibration.

The rows of a site are a unit of the step (see `at_site`); q-values and verdicts are of all sites together. Records:
`records.score`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from inversescope import files, records
from inversescope.cluster import Do, Run, Unit, Worker, by, here, parts
from inversescope.collect.inputs import INPUTS, read_inputs
from inversescope.progress import Progress
from inversescope.records.levels import Levels, read_levels, resolutions
from inversescope.score.at_site import Scorer, read_calibration, scored_sites, with_reference
from inversescope.stats import resampling
from inversescope.stats.intervals import defined
from inversescope.stats.kernel import Kernel
from inversescope.verdicts import judged

_TABLES = tuple(record for record in records.score.SCORE.records if isinstance(record, records.Table))


def score(run: Path, kernel: Kernel, seed: int, progress: Progress, do: Do = here) -> None:
    """Write the step's records in the folder `score`: its tables, and `results.json`."""
    folder, levels, sites = run / "score", read_levels(run), scored_sites(run)
    units = [Unit(f"part-{i:05d}.json", (str(site),)) for i, site in enumerate(sites)]
    noted = lambda done, total, note="": progress(done, total, note or "sites")  # noqa: E731
    tables: dict[str, list[dict[str, Any]]] = {record.name.removesuffix(".parquet"): [] for record in _TABLES}
    for path in parts.make(folder, units, partial(Scorer, run, kernel, seed), noted, do):
        for name, rows in files.read_json(path).items():
            tables[name] += rows
    _add_resolutions(tables.values(), {site: levels.get(site, []) for site in sites})
    _add_q_values(tables["results"])
    calibration, exact = read_calibration(run), read_inputs(run / "collect" / INPUTS, "pool").exact
    tables["results"] = judged(tables["results"], calibration, exact, with_reference(levels))
    _write(run, tables)
    parts.drop(folder, units)


def _write(run: Path, tables: dict[str, list[dict[str, Any]]]) -> None:
    """The tables, and some of them as JSON too."""
    folder = run / "score"
    for record, rows in zip(_TABLES, tables.values(), strict=True):
        files.write_table(folder / record.name, record.of(rows))
    scores, diagnostics = tables["results"], tables["diagnostics"]
    accuracy = files.read_json(files.verified(run / "task" / "accuracy.json"))
    summary = {"scores": scores, "diagnostics": diagnostics, "accuracy": accuracy}
    files.write_json(folder / records.score.SUMMARY.name, records.score.SUMMARY.of(summary))


def _add_resolutions(tables: Iterable[Sequence[dict[str, Any]]], levels: Levels) -> None:
    """Add to every row with a bandwidth the resolution that it is at its site."""
    known = {str(site): resolutions(of_site) for site, of_site in levels.items()}
    for row in (row for table in tables for row in table if "bandwidth" in row):
        row["resolution"] = known[row["site"]][row["bandwidth"]]


def _add_q_values(results: Sequence[dict[str, Any]]) -> None:
    """Add q-values to every row, over all tests of one method: sites, features and bandwidths."""
    for method in {row["method"] for row in results}:
        rows = [row for row in results if row["method"] == method]
        q_values = resampling.q_values(np.array([row["p_value"] for row in rows], dtype=float))
        for row, value in zip(rows, q_values.tolist(), strict=True):
            row["q_value"] = defined(value)


class ScoredRun(Run, Protocol):
    """A run as the step sees it."""

    @property
    def kernel(self) -> Kernel: ...


def make_worker(run: ScoredRun) -> Worker:
    """Worker of the step `score`."""
    return Scorer(run.folder, run.kernel, run.seed)


def step(run: ScoredRun, folder: Path, progress: Progress) -> None:
    """The step `score`."""
    score(run.folder, run.kernel, run.seed, progress, by(run, make_worker))
