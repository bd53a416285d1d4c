"""Train on a run's activations with other settings, and say how far the generator is from the truth.

    python benchmarks/training.py runs/demo train.steps=500 train.batch=160 generator.width=96 seed=1

Inputs of the pool stand in for the targets, so that settings are not chosen on the targets that a report is about. The
run must have been collected; nothing is written into it. No sample is verified: gaps compare the draws as they come.
"""

from __future__ import annotations

import sys

import numpy as np
from rich.console import Console
from rich.table import Table
from settings import configured, trained

from inversescope.calibrate.divergence import Comparison
from inversescope.run.run import Run
from inversescope.stats.intervals import Estimate
from inversescope.verdicts import TRUSTED

TARGETS = 120
DRAWS = 16
SEED = 29  # of the stand-ins, other than those of a run's own calibration


def main() -> None:
    run = Run.open(sys.argv[1])
    config = configured(run.config, sys.argv[2:])
    generator, seconds, _ = trained(run, config, run.subject.sites(config.generator.sites))
    comparison = Comparison(run.store, run.task, TARGETS, DRAWS, SEED)
    table = Table("site", "h", "query", "size", "KL", *run.task.features)
    gaps: list[float] = []
    for site in generator.sites:
        for h in config.calibrate.bandwidths or config.sample.bandwidths:
            for query in config.calibrate.queries:
                found = comparison.compare(generator, site, h, query).measured(outside=not generator.serves(site, h))
                if found.exact or found.size >= TRUSTED:
                    gaps += [gap.value for gap in found.gaps.values()]
                    cells = map(_with_margin, (found.divergence, *found.gaps.values()))
                    table.add_row(str(site), f"{h:g}", query, f"{found.size:.0f}", *cells)
    console = Console(width=150)
    console.print(table)
    console.print(f"{' '.join(sys.argv[2:])}: {config.train.steps} steps in {seconds:.0f} s")
    console.print(f"gaps: largest {np.nanmax(np.abs(gaps)):.3f}, mean {np.nanmean(np.abs(gaps)):.4f}")


def _with_margin(estimate: Estimate) -> str:
    return "–" if np.isnan(estimate.value) else f"{estimate.value:+.3f} ±{estimate.high - estimate.value:.3f}"


if __name__ == "__main__":
    main()
