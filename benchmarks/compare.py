"""Train every choice of encoder and conditioning for the same time on a run, and measure each alike.

    python benchmarks/compare.py runs/enumerable 60              # one table
    python benchmarks/compare.py runs/enumerable 30,60,120 ours,inversionview    # over training time

The run must be collected, and its pool must be the whole prior (benchmarks/enumerable.toml), so that divergences are
from the exact distribution. Every input of the prior was read, so what was drawn need not be run again to be judged;
it is run all the same where verified inputs a second are measured. A draw outside the prior counts as not accepted.
Nothing is written into the run.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from rich.console import Console
from rich.table import Table
from settings import configured, divergences, trained

from inversescope.collect.posterior import distances, stand_ins
from inversescope.generator import Generator
from inversescope.run.run import Run
from inversescope.sample.sample import draw_from
from inversescope.tasks import Tokens

# Each as settings of a config. InversionView's generator knows no noise: it is trained on activations as they are (at
# a width too small to matter), by the optimizers that ours has, which are faster than its AdamW.
CHOICES = {
    "ours": [],
    "slot": ["generator.conditioning=slot"],
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
    columns = "generator", "s", "examples/s", "KL", "worst", "draws/s", "verified/s", "with training"
    table = Table(*columns, *(f"≤ {limit}" for limit in LIMITS))
    for name in names:
        for seconds in budgets:
            config = configured(run.config, CHOICES[name])
            sites = run.subject.sites(config.generator.sites)
            generator, took, speed = trained(run, config, sites, seconds)
            row = name, f"{took:.0f}", f"{speed:.0f}", *_measured(run, generator, name, took)
            table.add_row(*row)
            Console(width=150, stderr=True).print(*row)
    console = Console(width=150)
    console.print(table)
    console.print(
        "KL: nats from the exact distribution, mean and worst over sites, bandwidths and queries. verified/s: distinct "
        f"accepted inputs at δ ≤ {LIMITS[0]}, counted for each target and site, by the seconds of drawing and of "
        "reading what was drawn; the next column counts the seconds of training, too. Last columns: distinct accepted "
        f"inputs of {DRAWS} draws, mean over targets and sites; in brackets how many there are."
    )


def _measured(run: Run, generator: Generator, name: str, training: float) -> list[str]:
    found = np.array(list(divergences(run, generator).values())) if name != "inversionview" else None
    kl = ["–", "–"] if found is None else [f"{found.mean():.3f}", f"{found.max():.2f}"]
    by_limit = [accepted(run, generator, limit) for limit in LIMITS]
    speed = sum(each.draws for each in by_limit) / sum(each.seconds for each in by_limit)
    near = by_limit[0]
    spent = near.seconds + _reading(run, generator, near.inputs)
    rates = [f"{near.found.sum() / seconds:.2f}" for seconds in (spent, spent + training)]
    cells = [f"{each.found.mean():.2f} ({each.possible.mean():.1f})" for each in by_limit]
    return [*kl, f"{speed:.0f}", *rates, *cells]


@dataclass(frozen=True)
class Accepted:
    """Draws for each site and target: distinct inputs within the limit, of those that there are."""

    found: Int[np.ndarray, "sites targets"]
    possible: Int[np.ndarray, "sites targets"]
    inputs: list[Tokens]  # the distinct ones that were drawn for any
    draws: int
    seconds: float  # of drawing


def accepted(run: Run, generator: Generator, limit: float) -> Accepted:
    """Draws at a bandwidth of half the limit, or the nearest that a site is trained for."""
    store, place = run.store, {tokens: i for i, tokens in enumerate(run.store.inputs("pool").tokens)}
    targets, rng, seconds = stand_ins(store, TARGETS, 17), torch.Generator().manual_seed(0), 0.0
    found = np.zeros((len(generator.sites), len(targets)), dtype=int)
    possible, drawn_at_all = np.zeros_like(found), set[Tokens]()
    for i, site in enumerate(generator.sites):
        activations = store.activations("pool", site)[targets]
        low, high = generator.bandwidths[site]
        started = time.monotonic()
        with torch.inference_mode():
            h = torch.full((len(targets),), float(np.clip(limit / 2, low, high)))
            condition = generator.condition(site, activations, h)
        drawn, _ = draw_from(generator, condition, DRAWS, rng)
        seconds += time.monotonic() - started
        drawn_at_all.update(tokens for tokens in drawn if tokens)
        for t, near in enumerate(distances(store, store.channel(site), site, targets, activations)):
            inputs = {place[x] for x in drawn[t * DRAWS : (t + 1) * DRAWS] if x in place}
            found[i, t] = sum(near[x] <= limit for x in inputs)
            possible[i, t] = (near <= limit).sum()
    return Accepted(found, possible, sorted(drawn_at_all), found.size * DRAWS, seconds)


def _reading(run: Run, generator: Generator, inputs: list[Tokens]) -> float:
    """Seconds in which the subject reads the inputs at all sites."""
    started = time.monotonic()
    run.subject.capture(inputs, generator.sites)
    return time.monotonic() - started


if __name__ == "__main__":
    main()
