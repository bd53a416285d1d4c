"""Distance of the generator from the distribution that it samples, on inputs that stand in for targets.

Each site, bandwidth and query has a verdict of its own. Records: `records.calibrate`.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inversescope import files, records
from inversescope.calibrate.divergence import Comparison, Divergences
from inversescope.cluster import Do, Unit, Worker, by, here, parts
from inversescope.collect.store import OpenRun, Store
from inversescope.config import CalibrateConfig
from inversescope.generator import Generator
from inversescope.progress import Progress
from inversescope.records.levels import Level, Levels
from inversescope.sites import Site
from inversescope.stats import intervals
from inversescope.stats.intervals import fields
from inversescope.tasks import Task
from inversescope.train.checkpoint import load_generator
from inversescope.train.trainer import Check, SiteStatus
from inversescope.verdicts import NO_GENERATOR, Measured, of_question, of_site

DRAWS = 24  # for each stand-in, site and bandwidth; stand-ins are the independent units, and their number is a key
CHECKED = 0.2  # share of the stand-ins that a check in the middle of training uses
IN_RANGE = 5  # bandwidths of a site's range
BASELINES = ("prior", "kernel")


def calibrate(
    folder: Path,
    store: Store,
    generator: Generator,
    task: Task,
    config: CalibrateConfig,
    sampled: Levels,
    seed: int,
    progress: Progress,
    do: Do = here,
) -> None:
    """Write `calibration.parquet`, `gaps.parquet` and `verdicts.json`.

    Args:
        sampled: levels of each site, which are compared where the config names no bandwidths.
    """
    comparison = Comparison(store, task, config.targets, DRAWS, seed)
    units = [Unit(f"part-{i:05d}.json", (str(site),)) for i, site in enumerate(generator.sites)]
    worker = _Comparer(folder, comparison, generator, config, sampled)
    measured = [files.read_json(path) for path in parts.make(folder, units, lambda: worker, progress, do)]
    rows, gaps = ([row for part in measured for row in part[name]] for name in ("rows", "gaps"))
    write(folder, rows, gaps, store.exact, comparison.prior(generator))


def write(
    folder: Path, rows: list[dict[str, Any]], gaps: list[dict[str, Any]], exact: bool, prior: dict[str, Any] | None
) -> None:
    """Write the step's records; `prior` is the comparison of the draws without a condition, if there are any."""
    for record, table in ((records.calibrate.CALIBRATION, rows), (records.calibrate.GAPS, gaps)):
        files.write_table(folder / record.name, record.of(table))
    counts = Counter(row["verdict"] for row in rows)
    judged = {"truth": "exact" if exact else "pool", "counts": counts, "prior": prior}
    files.write_json(folder / records.calibrate.VERDICTS.name, records.calibrate.VERDICTS.of(judged))


@dataclass(frozen=True)
class _Comparer:
    """Does units of the step: a site."""

    folder: Path
    comparison: Comparison
    generator: Generator
    config: CalibrateConfig
    sampled: Levels

    def __call__(self, unit: Unit, progress: Progress, /) -> Path:
        site = Site.parse(*unit.arguments)
        questions = list(
            itertools.product(self.config.queries, _levels(self.config, self.sampled, self.generator, site))
        )
        rows: list[dict[str, Any]] = []
        gaps: list[dict[str, Any]] = []
        for done, (query, level) in enumerate(questions, start=1):
            divergences = self.comparison.compare(self.generator, site, level.drawn, query)
            measured = divergences.measured(outside=not self.generator.serves(site, level.drawn))
            rows.append(_row(divergences, measured, level))
            gaps += _gap_rows(divergences, measured, level)
            progress(done, len(questions))
        path = self.folder / unit.file
        files.write_json(path, {"rows": rows, "gaps": gaps})
        return path


def check(store: Store, task: Task, config: CalibrateConfig, sampled: Levels, seed: int) -> Check:
    """A check of the sites of a generator in training, on other stand-ins than those of the final calibration."""
    comparison = Comparison(store, task, max(2, round(CHECKED * config.targets)), DRAWS, seed + 1)

    def measure(generator: Generator) -> dict[Site, SiteStatus]:
        status = {}
        for site in generator.sites:
            bandwidths = [level.drawn for level in _levels(config, sampled, generator, site)]
            by_query = {
                query: [comparison.compare(generator, site, h, query, draw=not store.exact) for h in bandwidths]
                for query in config.queries
            }
            status[site] = _status(
                [[divergences.measured(outside=False) for divergences in of_query] for of_query in by_query.values()],
                comparison.strata.known,
            )
        return status

    return measure


def _status(queries: Sequence[Sequence[Measured]], known: bool) -> SiteStatus:
    """Status of a site: mean divergence where it can be estimated, else mean absolute gap; neither where P is known and
    the pool too small, because the errors of sites must have one unit.
    """
    calibrated = all(of_site(questions).judgement == "calibrated" for questions in queries)
    questions = [measured for of_query in queries for measured in of_query if measured.trusted]
    divergences = np.array([measured.divergence.value for measured in questions])
    if known:
        defined = divergences[~np.isnan(divergences)]
    else:
        gaps = np.abs([gap.value for measured in questions for gap in measured.gaps.values()])
        defined = gaps[~np.isnan(gaps)]
    return SiteStatus(float(defined.mean()) if len(defined) else np.nan, calibrated)


def _levels(config: CalibrateConfig, sampled: Levels, generator: Generator, site: Site) -> list[Level]:
    """Levels of a site that are compared."""
    if not config.bandwidths:
        return sampled[site]
    bandwidths = config.bandwidths
    if bandwidths == "range":
        bandwidths = np.geomspace(*generator.bandwidths[site], IN_RANGE).tolist()
    return [Level(None, bandwidth) for bandwidth in bandwidths]


def _row(divergences: Divergences, measured: Measured, level: Level) -> dict[str, Any]:
    """A row of `calibration.parquet`; divergences only where the posterior is known well enough."""
    verdict = of_question(measured)
    divergence, variation = (
        of_target if measured.trusted else np.full_like(of_target, np.nan)
        for of_target in (divergences.divergence, divergences.variation)
    )
    defined = divergence[~np.isnan(divergence)]
    scores = {f"score_{name}": _mean(divergences.scores[name]) for name in ("unseen", "trained", *BASELINES)}
    return {
        **_address(divergences, level),
        "targets": len(divergences.repeats),
        "ess": measured.size if np.isfinite(measured.size) else None,
        **fields("kl", intervals.mean(divergence)),
        "kl_worst": float(defined.max()) if len(defined) else None,
        **fields("tv", intervals.mean(variation, 0, 1)),
        **scores,
        **fields("generalisation", measured.generalisation),
        **fields("in_training", intervals.mean(divergences.in_training, 0, 1)),
        "in_training_expected": float(divergences.expected.mean()),
        **fields("copied", measured.copied),
        "verdict": verdict.judgement,
        "reason": verdict.reason,
    }


def _mean(values: np.ndarray) -> float | None:
    """Mean of the numbers that are defined; None where none is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else None


def _gap_rows(divergences: Divergences, measured: Measured, level: Level) -> Iterator[dict[str, Any]]:
    for feature, gap in measured.gaps.items():
        yield {**_address(divergences, level), "feature": feature, **fields("gap", gap)}


def _address(divergences: Divergences, level: Level) -> dict[str, Any]:
    """Site, level and kind of query of a row."""
    return {"site": str(divergences.site), **level.columns, "query": divergences.query}


def make_worker(run: OpenRun) -> Worker:
    """Worker of the step `calibrate`."""
    config, generator = run.config.calibrate, load_generator(run.folder / "train", run.subject.device)
    comparison = Comparison(run.store, run.task, config.targets, DRAWS, run.seed)
    return _Comparer(run.folder / "calibrate", comparison, generator, config, run.levels)


def step(run: OpenRun, folder: Path, progress: Progress) -> None:
    """The step `calibrate`. Without a generator there is nothing to compare."""
    if not run.sites["train"]:
        write(folder, [], [], run.store.exact, None)
        progress(1, 1, NO_GENERATOR)
        return
    config, generator = run.config.calibrate, load_generator(run.folder / "train", run.subject.device)
    do = by(run, make_worker)
    calibrate(folder, run.store, generator, run.task, config, run.levels, run.seed, progress, do)
