"""Our generator against InversionView's, as many seconds of training on the same inputs: exact KL, new inputs a second.

    inversescope run benchmarks/demo_prior.toml --out runs/demo-prior --until collect
    python benchmarks/rival.py runs/demo-prior [--share 0.2] [--sites resid_post.8] [--longer 2] [train.steps=400]

The run has read every input of its prior. A share of them is trained on, the targets are others, and the posterior of
every target is a sum. Levels: one input in N of the prior remains (Gaussian kernel), and InversionView's own
neighbourhood, the inputs with δ ≤ 0.1 by their P. Columns, over targets and sites:

KL       nats, from the exact posterior to the method (worst site in brackets)
new      distinct inputs among the draws that exist in the prior, are no farther than the posterior's median δ (in the
         neighbourhood: than 0.1), and are neither the target nor training inputs
seconds  of drawing, and of reading by the subject: every distinct draw once that is neither the target nor a training
         input, whose activations are known
a second new inputs, by these seconds and those of training

"exact" draws from the exact posterior, in no time, after as many seconds of training as ours: the limit of any method
that draws from the posterior.

InversionView's generator is sampled in every way that its own code has: temperature, and noise on the activation, here
of several sizes (in standard deviations of each coordinate, so that it moves the activation by as much in δ). Each way
is a row. For each level the best of them, chosen on these very targets, is set against ours, so that the choice is its
best. `--longer 2` trains it for twice the seconds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from enumerated import PartStore, Truth, drawn_rows, inversionview, levels_of, trained_for, trained_on, unread
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from rich.console import Console
from rich.table import Table
from settings import configured
from torch import Tensor

from inversescope.calibrate.divergence import sample_points
from inversescope.collect.bandwidths import Remaining
from inversescope.generator import IGNORED, Generator
from inversescope.generator.generator import CHUNK, IncrementalDecoder
from inversescope.generator.vocabulary import BOUNDARY
from inversescope.run.run import Run
from inversescope.sites import Site
from inversescope.stats.kernel import Kernel
from inversescope.stats.weights import weighted_medians
from inversescope.tasks import Tokens

RESOLUTIONS = (512.0, 64.0, 8.0)  # the demo's
EPSILON, INSIDE = 0.1, 0.05  # InversionView's neighbourhood, and the h at which ours is asked for it
POINTS, NOISES = 16, 4  # inputs at which a probability is computed; draws of the noise in a mixture
TARGETS = 64
READ = 256  # inputs that show how long reading takes


class Way(NamedTuple):
    """One way to sample: temperature, and noise on the activation in δ."""

    temperature: float = 1.0
    noise: float = 0.0


OWN = Way()
WAYS = [*(Way(1.0, noise) for noise in (0.0, 0.1, 0.3, 1.0, 2.0)), Way(1.5, 0.0), Way(1.5, 1.0)]


@dataclass(frozen=True)
class Level:
    """Question at a site: the exact posterior, the bandwidth given to ours, and how near an input must be."""

    name: str
    bandwidth: float
    posterior: Float[ndarray, "targets prior"]
    near: Bool[ndarray, "targets prior"]


def levels(truth: Truth) -> Iterator[Level]:
    """The levels of a site, finest first."""
    inside = truth.distances <= EPSILON
    ball = inside * truth.pool.probability
    yield Level(f"δ ≤ {EPSILON:g}", INSIDE, ball / ball.sum(1, keepdims=True), inside)
    remaining = Remaining(
        truth.distances, truth.pool.probability, np.zeros(len(truth.distances)), True, Kernel.GAUSSIAN
    )
    for resolution in RESOLUTIONS:
        h = remaining.bandwidth(resolution)
        if h is not None:
            p = truth.at(h)
            yield Level(f"1 in {resolution:g}", h, p, truth.distances <= weighted_medians(truth.distances, p)[:, None])


def log_q(
    generator: Generator, rows: Int[Tensor, "batch positions"], condition: Float[Tensor, "batch condition"], t: float
) -> Float[ndarray, " batch"]:
    """ln q of inputs, each under its own condition, at a temperature."""
    found = []
    for part, given in zip(rows.split(CHUNK), condition.split(CHUNK), strict=True):
        if t == 1:
            found.append(-generator.nats(part, given))
            continue
        prepared = generator.prepare(given)
        tokens, following = part[:, :-1].clamp_min(BOUNDARY), part[:, 1:]
        logits = generator.decoder(tokens, prepared.bias, generator.conditioning, prepared.conditioning)
        scores = (logits / t).log_softmax(-1).gather(2, following.clamp_min(0)[:, :, None])[:, :, 0]
        found.append(torch.where(following == IGNORED, 0.0, scores).sum(1))
    return torch.cat(found).double().numpy()


@torch.inference_mode()
def draw(
    generator: Generator, condition: Float[Tensor, "batch condition"], t: float, rng: torch.Generator
) -> list[Tokens | None]:
    """An input for each condition, at a temperature."""
    drawn: list[Tokens | None] = []
    for given in condition.split(1024):
        if t == 1:
            drawn += generator.draw(given, rng, 1)[0]
            continue
        decoder, token, tokens = IncrementalDecoder(generator, given), torch.full((len(given), 1), BOUNDARY), []
        for _ in range(generator.positions - 1):
            token = torch.multinomial((decoder.next(token) / t).softmax(1), 1, generator=rng)
            tokens.append(token)
        drawn += generator.vocabulary.decode(torch.cat(tokens, 1))
    return drawn


@torch.inference_mode()
def conditions(
    generator: Generator, site: Site, level: Level, activations: Float[Tensor, "n d"], way: Way, rng: torch.Generator
) -> Float[Tensor, "n condition"]:
    """Conditions of activations, with the noise of the way; the bandwidth is the nearest that was trained for."""
    if way.noise:
        spread = way.noise * generator.channel(site).deviation
        activations = activations + spread * torch.randn(activations.shape, generator=rng)
    low, high = generator.bandwidths[site]
    given = min(max(level.bandwidth, low), high)
    return generator.condition(site, activations, torch.full((len(activations),), given))


@torch.inference_mode()
def divergence(generator: Generator, site: Site, level: Level, activations: Tensor, truth: Truth, way: Way) -> float:
    """Mean KL from the exact posterior, at sampled inputs; with noise, to the mixture over the noise."""
    rng, noise = np.random.default_rng(0), torch.Generator().manual_seed(2)
    points = [sample_points(row, POINTS, rng) for row in level.posterior]
    target = np.repeat(np.arange(len(points)), [len(index) for index, _ in points])
    index, share = (np.concatenate(parts) for parts in zip(*points, strict=True))
    rows = generator.vocabulary.encode([truth.pool.tokens[i] for i in index])
    mixed = []
    for _ in range(1 if way.noise == 0 else NOISES):
        condition = conditions(generator, site, level, activations, way, noise)[torch.from_numpy(target)]
        mixed.append(log_q(generator, rows, condition, way.temperature))
    q = np.logaddexp.reduce(mixed) - np.log(len(mixed))
    kl = np.bincount(target, share * (np.log(level.posterior[target, index]) - q), len(points))
    return float(kl.mean())


class Found(NamedTuple):
    """Exact KL; new inputs; inputs to be read, and the seconds of drawing them."""

    kl: float
    new: int
    read: int
    seconds: float


def measured(
    generator: Generator, site: Site, level: Level, activations: Tensor, truth: Truth, way: Way, trained: ndarray,
    targets: Sequence[int], samples: int,
) -> Found:  # fmt: skip
    """One way of one generator at one level."""
    started, rng = time.process_time(), torch.Generator().manual_seed(1)
    repeated = activations.repeat_interleave(samples, 0)
    drawn = draw(generator, conditions(generator, site, level, repeated, way, rng), way.temperature, rng)
    seconds = time.process_time() - started
    number = {tokens: i for i, tokens in enumerate(truth.pool.tokens)}
    owner = np.repeat(np.arange(len(targets)), samples).tolist()
    pairs = {(target, number[tokens]) for target, tokens in zip(owner, drawn, strict=True) if tokens in number}
    outside = {tokens for tokens in drawn if tokens is not None and tokens not in number}
    kl = divergence(generator, site, level, activations, truth, way)
    return counted(pairs, level, trained, targets, kl, seconds, len(outside))


def drawn_exactly(level: Level, trained: ndarray, targets: Sequence[int], samples: int) -> Found:
    """Draws from the exact posterior, in no time."""
    rng = np.random.default_rng(1)
    pairs = {(t, row) for t, p in enumerate(level.posterior) for row in rng.choice(len(p), samples, p=p).tolist()}
    return counted(pairs, level, trained, targets, 0.0, 0.0, 0)


def counted(
    pairs: set[tuple[int, int]], level: Level, trained: ndarray, targets: Sequence[int], kl: float, seconds: float,
    outside: int,
) -> Found:  # fmt: skip
    """Counts of distinct draws, as pairs of target and input, and of those outside the prior."""
    unknown = [(t, row) for t, row in pairs if not trained[row] and row != targets[t]]
    read = len({row for _, row in unknown} - set(targets)) + outside
    return Found(kl, sum(int(level.near[at]) for at in unknown), read, seconds)


Rows = dict[tuple[str, Way], dict[str, dict[Site, Found]]]  # by generator and way, level, site


def compared(
    generators: Mapping[str, tuple[Generator, Sequence[Way]]], store: PartStore, sites: Sequence[Site], samples: int,
    seed: int,
) -> Rows:  # fmt: skip
    """Everything that is measured."""
    trained = np.zeros(len(store.inputs("pool")), dtype=bool)
    trained[store.rows] = True
    targets, rows = unread(store, trained, TARGETS, seed), Rows()
    for site in sites:
        truth, activations = Truth(store, site, targets), store.activations("pool", site)[targets]
        for level in levels(truth):
            exactly = drawn_exactly(level, trained, targets, samples)
            rows.setdefault(("exact", OWN), {}).setdefault(level.name, {})[site] = exactly
            for name, (generator, ways) in generators.items():
                for way in ways:
                    found = measured(generator, site, level, activations, truth, way, trained, targets, samples)
                    rows.setdefault((name, way), {}).setdefault(level.name, {})[site] = found
    return rows


def seconds_to_read(run: Run, store: PartStore, sites: Sequence[Site]) -> float:
    """Seconds in which the subject reads one input."""
    inputs = store.inputs("pool").tokens
    few = [inputs[i] for i in np.random.default_rng(0).permutation(len(inputs))[:READ]]
    run.subject.capture(few[:8], sites)  # loads the subject
    started = time.process_time()
    run.subject.capture(few, sites)
    return (time.process_time() - started) / READ


def report(console: Console, rows: Rows, training: Mapping[str, float], each: float, title: str) -> None:
    """One row a generator, way and level; then ours beside the best way of the other, and beside the limit."""
    table = Table(
        "method", "T", "noise", "level", "KL", "(worst)", "new", "drawing", "reading", "a second", title=title
    )
    scores: dict[str, dict[str, list[tuple[float, int, float]]]] = {}
    for (name, way), by_level in rows.items():
        for level, by_site in by_level.items():
            found = list(by_site.values())
            kl, worst = float(np.mean([f.kl for f in found])), max(f.kl for f in found)
            new, drawing = sum(f.new for f in found), sum(f.seconds for f in found)
            reading = each * sum(f.read for f in found)
            spent = training[name] + drawing + reading
            rate = new / spent
            scores.setdefault(level, {}).setdefault(name, []).append((kl, new, rate))
            table.add_row(
                *(name, f"{way.temperature:g}", f"{way.noise:g}", level, f"{kl:.3f}", f"{worst:.2f}", f"{new}"),
                *(f"{drawing:.1f}", f"{reading:.1f}", f"{rate:.2f}"),
            )
    console.print(table)
    for level, by_name in scores.items():
        [ours], [exact], others = by_name["ours"], by_name["exact"], by_name["InversionView"]
        least, new, rate = min(o[0] for o in others), max(o[1] for o in others), max(o[2] for o in others)
        console.print(
            f"{level:10} KL {ours[0]:.3f}, InversionView's at its best {least:.3f}; new inputs {ours[1]} and {new} of "
            f"{exact[1]}; a second {ours[2]:.2f} and {rate:.2f} of {exact[2]:.2f}"
            + (f": {ours[2] / rate:.1f} times as many of {exact[2] / rate:.1f}" if rate else "")
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run of which every input of the prior is collected")
    parser.add_argument("settings", nargs="*", help="changes of its config: section.key=value")
    parser.add_argument("--share", type=float, default=0.2, help="share of the prior that is trained on")
    parser.add_argument("--sites", help="sites, between commas; default: those of the config")
    parser.add_argument("--samples", type=int, default=24, help="draws for each target and level")
    parser.add_argument("--longer", type=float, default=1, help="seconds of the other generator, over ours")
    asked = parser.parse_intermixed_args()
    run, console = Run.open(asked.run), Console(width=110)
    config = configured(run.config, asked.settings)
    sites = [Site.parse(site) for site in (asked.sites.split(",") if asked.sites else config.generator.sites)]
    rows = drawn_rows(run.store.inputs("pool").probability, asked.share, config.seed)
    store = PartStore(run.folder / "collect", rows)
    ours, seconds, _ = trained_on(store, config, levels_of(run, config, sites), run.task)
    rival = inversionview(config)
    other, longer = trained_for(asked.longer * seconds, store, rival, levels_of(run, rival, sites), run.task)
    spent = {"exact": seconds, "ours": seconds, "InversionView": longer}
    generators = {"ours": (ours, [OWN]), "InversionView": (other, WAYS)}
    found = compared(generators, store, sites, asked.samples, config.seed)
    each = seconds_to_read(run, store, sites)
    title = f"{asked.share:.0%} trained on; seconds: {each:.4f} to read an input; of training " + ", ".join(
        f"{name} {value:.0f}" for name, value in spent.items()
    )
    report(console, found, spent, each, title)


if __name__ == "__main__":
    main()
