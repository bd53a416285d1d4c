"""Train every choice of encoder, conditioning and backbone for the same time on a run, and measure each alike.

    python benchmarks/compare.py runs/enumerable 60              # one table
    python benchmarks/compare.py runs/enumerable 30,60,120 ours,inversionview    # over training time

The run must be collected, and its pool must be the whole prior (benchmarks/enumerable.toml), so that divergences are
from the exact distribution and what was drawn need not be run again: every input of the prior was read. A draw outside
the prior counts as not accepted. Nothing is written into the run.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from settings import configured, divergences, trained

from inversescope.generator import Generator
from inversescope.pipeline import Run
from inversescope.posterior import distances, stand_ins
from inversescope.sample import draw_from

# Each as settings of a config. InversionView's generator knows no noise: it is trained on activations as they are (at
# a width too small to matter), by the optimizers that ours has, which are faster than its AdamW.
CHOICES = {
    "ours": [],
    "control layers": ["generator.conditioning=control"],
    "slot": ["generator.conditioning=slot"],
    "prefix": ["generator.conditioning=prefix"],
    "control layers on frozen": [
        "generator.conditioning=control", "generator.tuning=frozen", "train.pretrain=100",
    ],
    "identity encoder": ["generator.encoder=identity"],
    "residual encoder": ["generator.encoder=residual"],
    "inversionview": [
        "generator.encoder=residual", "generator.conditioning=slot", "train.clean=0", "train.bandwidths=0.001,0.0011",
        "sample.bandwidths=0.001",
        "train.unconditional=0.01",
    ],
}  # fmt: skip
LIMITS = (0.1, 0.2, 0.3, 0.5)  # δ up to which a draw is accepted; asked for with h of half that
TARGETS = 12
DRAWS = 64


def main() -> None:
    run = Run.open(sys.argv[1])
    budgets = [float(seconds) for seconds in sys.argv[2].split(",")]
    names = sys.argv[3].split(",") if len(sys.argv) > 3 else list(CHOICES)
    table = Table("generator", "s", "examples/s", "KL", "worst", "draws/s", *(f"≤ {limit}" for limit in LIMITS))
    for name in names:
        for seconds in budgets:
            config = configured(run.config, CHOICES[name])
            sites = run.subject.sites(config.generator.sites)
            generator, took, speed = trained(run, config, sites, seconds)
            table.add_row(name, f"{took:.0f}", f"{speed:.0f}", *_measured(run, generator, name))
            Console(width=150, stderr=True).print(f"{name}: {took:.0f} s")
    console = Console(width=150)
    console.print(table)
    console.print(
        "KL: nats from the exact distribution, mean and worst over sites, bandwidths and queries. Last columns:"
    )
    console.print(
        f"distinct accepted inputs of {DRAWS} draws, mean over targets and sites; in brackets how many there are."
    )


def _measured(run: Run, generator: Generator, name: str) -> list[str]:
    found = np.array(list(divergences(run, generator).values())) if name != "inversionview" else None
    kl = ["–", "–"] if found is None else [f"{found.mean():.3f}", f"{found.max():.2f}"]
    speed, counts, possible = accepted(run, generator)
    cells = [f"{count:.2f} ({most:.1f})" for count, most in zip(counts, possible, strict=True)]
    return [*kl, f"{speed:.0f}", *cells]


def accepted(run: Run, generator: Generator) -> tuple[float, np.ndarray, np.ndarray]:
    """Draws a second, and for each limit the distinct accepted inputs a target: of the draws, and of the prior."""
    store, place = run.store, {tokens: i for i, tokens in enumerate(run.store.inputs("pool").tokens)}
    targets = stand_ins(store, TARGETS, 17)
    rng, seconds, drawn_in_all = torch.Generator().manual_seed(0), 0.0, 0
    counts, possible = np.zeros(len(LIMITS)), np.zeros(len(LIMITS))
    for site in generator.sites:
        activations = store.activations("pool", site)[targets]
        near = distances(store, site, targets, activations)
        for i, limit in enumerate(LIMITS):
            low, high = generator.bandwidths[site]
            started = time.monotonic()
            with torch.inference_mode():
                h = torch.full((len(targets),), float(np.clip(limit / 2, low, high)))
                condition = generator.condition(site, activations, h)
            drawn, _ = draw_from(generator, condition, DRAWS, rng)
            seconds += time.monotonic() - started
            drawn_in_all += len(drawn)
            for t in range(len(targets)):
                inputs = {place[x] for x in drawn[t * DRAWS : (t + 1) * DRAWS] if x in place}
                counts[i] += sum(near[t, x] <= limit for x in inputs)
                possible[i] += (near[t] <= limit).sum()
    number = len(targets) * len(generator.sites)
    return drawn_in_all / seconds, counts / number, possible / number


if __name__ == "__main__":
    main()
