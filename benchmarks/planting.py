"""Plant generators whose verdict is known, and see whether each site gets it.

    python benchmarks/planting.py runs/enumerable [steps]

One is stopped after a few steps (20 by default): every site must be called undertrained. The run's own is
asked at bandwidths outside the range of each site: every question must come back as "cannot tell". The run
must be trained, and its pool the whole prior. Nothing is written into it.
"""

from __future__ import annotations

import sys
from collections import Counter

import torch
from rich.console import Console
from rich.table import Table
from settings import BANDWIDTHS, configured, trained

from inversescope.calibrate.calibrate import DRAWS
from inversescope.calibrate.divergence import Comparison
from inversescope.run.run import Run
from inversescope.train.checkpoint import load_generator
from inversescope.verdicts import of_question, of_site

OUTSIDE = 2.0  # times the end of a range


def main() -> None:
    run, steps = Run.open(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 20
    config = run.config.calibrate
    comparison = Comparison(run.store, run.task, config.targets, DRAWS, run.config.seed)
    early, _, _ = trained(run, configured(run.config, [f"train.steps={steps}"]), run.sites["train"])
    late = load_generator(run.folder / "train", torch.device("cpu"))
    table = Table("site", f"stopped after {steps} steps", "reason", "asked outside its range")
    called: Counter[str] = Counter()
    for site in early.sites:
        low, high = early.bandwidths[site]
        asked = torch.logspace(0, 1, BANDWIDTHS, base=high / low).mul(low).clamp(low, high).tolist()
        answers = [comparison.compare(early, site, h, query) for query in config.queries for h in asked]
        verdict = of_site([answer.measured(outside=False) for answer in answers])
        low, high = late.bandwidths[site]
        beyond = [comparison.compare(late, site, h, "clean") for h in (low / OUTSIDE, high * OUTSIDE)]
        said = [of_question(each.measured(outside=not late.serves(site, each.bandwidth))) for each in beyond]
        table.add_row(str(site), verdict.judgement, verdict.reason, ", ".join(each.judgement for each in said))
        called.update([f"stopped early: {verdict.judgement}", *(f"outside: {each.judgement}" for each in said)])
    console = Console(width=130)
    console.print(table)
    console.print(", ".join(f"{name} {count}" for name, count in sorted(called.items())))


if __name__ == "__main__":
    main()
