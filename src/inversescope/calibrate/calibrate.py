"""Distance of the generator from the distribution that it samples, on inputs that stand in for targets.

If the pool is the whole prior, the truth is known: divergence and total variation are computed. Else the reference
from the pool is what the draws are compared with, feature by feature. Records: `records.calibrate`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inversescope import files, records
from inversescope.calibrate.divergence import Comparison, Divergences
from inversescope.collect.store import OpenRun, Store
from inversescope.config import CalibrateConfig
from inversescope.generator import Generator
from inversescope.progress import Progress
from inversescope.sites import Site
from inversescope.stats import intervals
from inversescope.stats.intervals import fields
from inversescope.tasks import Labels, Tokens
from inversescope.train.checkpoint import load_generator
from inversescope.train.trainer import Check, SiteStatus
from inversescope.verdicts import TRUSTED, Measured, of_question, of_site

DRAWS = 32  # for each stand-in, site and bandwidth; stand-ins are the independent units, and their number is a key
QUICK_POINTS = 16  # inputs at which probabilities are compared in the middle of training
IN_RANGE = 5  # bandwidths of a site's range


def calibrate(
    folder: Path,
    store: Store,
    generator: Generator,
    labels: Callable[[Tokens], Labels],
    config: CalibrateConfig,
    sampled: Sequence[float],
    seed: int,
    progress: Progress,
) -> None:
    """Write `calibration.parquet`, `gaps.parquet` and `verdicts.json`.

    Args:
        labels: every feature of an input.
        sampled: the bandwidths that are compared where the config names none.
    """
    comparison = Comparison(store, labels, config.targets, DRAWS, seed)
    rows: list[dict[str, Any]] = []
    gaps: list[dict[str, Any]] = []
    verdicts: dict[str, dict[str, Any]] = {}
    for done, site in enumerate(generator.sites, start=1):
        verdicts[str(site)] = {}
        for query in config.queries:
            measured = []
            for bandwidth in _bandwidths(config, sampled, generator.bandwidths[site]):
                divergences = comparison.compare(generator, site, bandwidth, query)
                measured.append(divergences.measured(outside=not generator.serves(site, bandwidth)))
                rows.append(_row(divergences, measured[-1]))
                gaps += _gap_rows(divergences, measured[-1])
            verdicts[str(site)][query] = of_site(measured)._asdict()
        progress(done, len(generator.sites), "sites")
    for record, table in ((records.calibrate.CALIBRATION, rows), (records.calibrate.GAPS, gaps)):
        files.write_table(folder / record.name, record.of(table))
    judged = {"truth": "exact" if store.exact else "pool", "sites": verdicts, "prior": comparison.prior(generator)}
    files.write_json(folder / records.calibrate.VERDICTS.name, records.calibrate.VERDICTS.of(judged))


def check(
    store: Store, labels: Callable[[Tokens], Labels], config: CalibrateConfig, sampled: Sequence[float], seed: int
) -> Check:
    """A check of the sites of a generator in training, on other stand-ins than those of the final calibration."""
    comparison = Comparison(store, labels, max(2, config.targets // 2), DRAWS, seed + 1, QUICK_POINTS)

    def measure(generator: Generator) -> dict[Site, SiteStatus]:
        status = {}
        for site in generator.sites:
            bandwidths = _bandwidths(config, sampled, generator.bandwidths[site])
            by_query = {
                query: [comparison.compare(generator, site, h, query, draw=not store.exact) for h in bandwidths]
                for query in config.queries
            }
            status[site] = _status(
                [[divergences.measured(outside=False) for divergences in of_query] for of_query in by_query.values()]
            )
        return status

    return measure


def _status(queries: Sequence[Sequence[Measured]]) -> SiteStatus:
    """Status of a site: mean divergence where it is known, else mean absolute gap where the reference suffices."""
    calibrated = all(of_site(questions).judgement == "calibrated" for questions in queries)
    questions = [measured for of_query in queries for measured in of_query]
    if questions[0].exact:
        error = np.mean([measured.divergence.value for measured in questions])
    else:
        gaps = [gap.value for measured in questions if measured.size >= TRUSTED for gap in measured.gaps.values()]
        sizes = np.abs([gap for gap in gaps if not np.isnan(gap)])
        error = sizes.mean() if len(sizes) else np.nan
    return SiteStatus(float(error), calibrated)


def _bandwidths(config: CalibrateConfig, sampled: Sequence[float], trained: tuple[float, float]) -> Sequence[float]:
    """Bandwidths of a site."""
    if config.bandwidths == "range":
        return np.geomspace(*trained, IN_RANGE).tolist()
    return config.bandwidths or sampled


def _row(divergences: Divergences, measured: Measured) -> dict[str, Any]:
    verdict, defined = of_question(measured), divergences.divergence[~np.isnan(divergences.divergence)]
    return {
        **_address(divergences),
        "targets": len(divergences.sizes),
        "ess": measured.size,
        **fields("kl", measured.divergence),
        "kl_worst": float(defined.max()) if len(defined) else None,
        **fields("tv", intervals.mean(divergences.variation, 0, 1)),
        "verdict": verdict.judgement,
        "reason": verdict.reason,
    }


def _gap_rows(divergences: Divergences, measured: Measured) -> Iterator[dict[str, Any]]:
    for feature, gap in measured.gaps.items():
        yield {**_address(divergences), "feature": feature, **fields("gap", gap)}


def _address(divergences: Divergences) -> dict[str, Any]:
    """Site, bandwidth and kind of query of a row."""
    return {"site": str(divergences.site), "bandwidth": divergences.bandwidth, "query": divergences.query}


def step(run: OpenRun, folder: Path, progress: Progress) -> None:
    """The step `calibrate`."""
    config, generator = run.config, load_generator(run.folder / "train", run.subject.device)
    bandwidths = config.sample.bandwidths
    calibrate(folder, run.store, generator, run.task.labels, config.calibrate, bandwidths, run.seed, progress)
