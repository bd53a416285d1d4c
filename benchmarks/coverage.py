"""Coverage of 95% intervals, by method, and power of the tests. Simulated; no model.

    python benchmarks/coverage.py [TIMES]

Targets have rates of their own (beta, intraclass correlation 0.02 to 0.9) and some samples each (binomial). About ten
minutes of one core for 400 TIMES, most of it the bootstrap.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
from numpy import ndarray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy import stats

from inversescope.stats.intervals import Estimate, corrected, mean, ratio_of_means
from inversescope.stats.resampling import shuffle_test

TARGETS, SAMPLES = (10, 50, 200), (1, 5, 20, 100)
RATES = {"0.3 to 0.7": (0.3, 0.7), "0.8 to 0.97": (0.8, 0.97), "0.05 to 0.2": (0.05, 0.2)}
PRIORS = {
    "30 even labels": np.full(30, 1 / 30),
    "50/30/20": np.array([0.5, 0.3, 0.2]),
    "70/30": np.array([0.7, 0.3]),
    "94/6": np.array([0.94, 0.06]),
}
MODELS = ("same κ", "κ by label", "κ near 1", "chance, varied", "chance, exactly")
SHAPES = (0.7, 2.0, 6.0)  # coefficients of variation 1.2, 0.7, 0.4
DONORS = ((32, 8, 8), (32, 8, 40), (32, 6, 50), (32, 30, 6))

Interval = Callable[[ndarray, ndarray], Estimate]


def student(consistency: ndarray, chance: ndarray) -> Estimate:
    """t over target means, or of the residuals of the ratio."""
    room = 1 - chance
    ratio = (1 - consistency).mean() / room.mean()
    margin = stats.t.ppf(0.975, len(room) - 1) * stats.sem(1 - consistency - ratio * room) / room.mean()
    return Estimate(1 - ratio, 1 - ratio - margin, 1 - ratio + margin)


def bootstrap(consistency: ndarray, chance: ndarray) -> Estimate:
    """Percentiles of resampled targets, expanded for their number (Hesterberg 2015, arXiv 1411.5279)."""
    n = len(chance)
    counts = np.random.default_rng(n).multinomial(n, np.full(n, 1 / n), 1000)
    tail = 100 * stats.norm.cdf(-((n / (n - 1)) ** 0.5) * stats.t.ppf(0.975, n - 1))
    ratios = 1 - counts @ (1 - consistency) / (counts @ (1 - chance))
    return Estimate(np.nan, *np.percentile(ratios, [tail, 100 - tail]))


def spread(rates: ndarray, alike: float, rng: np.random.Generator) -> ndarray:
    """Rates of targets around these."""
    known = 1 / alike - 1
    return rng.beta(rates * known, (1 - rates) * known)


def rates(name: str, targets: int, samples: int, rng: np.random.Generator) -> tuple[ndarray, ndarray, float]:
    """Consistencies, no chance, and the rate behind them."""
    truth = rng.uniform(*RATES[name])
    each = spread(np.full(targets, truth), rng.uniform(0.02, 0.9), rng)
    return rng.binomial(samples, each) / samples, np.zeros(targets), truth


def scores(
    place: tuple[str, str], targets: int, samples: int, rng: np.random.Generator
) -> tuple[ndarray, ndarray, float]:
    """Consistencies and chance of targets with labels from a prior, and the corrected score behind them."""
    prior, model = PRIORS[place[0]], place[1]
    labels, alike = rng.choice(len(prior), targets, p=prior), rng.uniform(0.02, 0.9)
    chance = prior[labels]
    if model.startswith("chance"):
        each, truth = (spread(chance, alike, rng) if model.endswith("varied") else chance), 0.0
    else:
        low, high = (0.85, 0.99) if model == "κ near 1" else (0.1, 0.95)
        encoded = (
            np.full(len(prior), rng.uniform(low, high))
            if model != "κ by label"
            else rng.uniform(0.02, 0.98, len(prior))
        )
        each = chance + (1 - chance) * spread(encoded[labels], alike, rng)
        truth = float((encoded * prior * (1 - prior)).sum() / (prior * (1 - prior)).sum())
    return rng.binomial(samples, each) / samples, chance, truth


def covered(draw: Callable, place: object, methods: list[Interval], times: int) -> Iterator[list[float]]:
    """For each number of targets and samples, how often each method's interval holds the truth, in percent."""
    for targets, samples in product(TARGETS, SAMPLES):
        rng, hits = np.random.default_rng([targets, samples]), np.zeros(len(methods))
        for _ in range(times):
            consistency, chance, truth = draw(place, targets, samples, rng)
            found = [method(consistency, chance) for method in methods]
            hits += [low - 1e-9 <= truth <= high + 1e-9 for _, low, high in found]
        yield (100 * hits / times).tolist()


def donors(shape: float, sizes: tuple[int, ...], means: tuple[float, float], times: int) -> float:
    """Coverage of the interval of one source's necessity, in percent: `sizes` random donors (mean
    divergence 1), others and those with the same label (`means`), divergences from a gamma distribution of `shape`.
    """
    rng, hits = np.random.default_rng([*sizes, int(10 * shape)]), 0
    for _ in range(times):
        groups = [rng.gamma(shape, mean / shape, n) for mean, n in zip((1.0, *means), sizes, strict=True)]
        _, low, high = ratio_of_means(groups, [0, 1, -1], [1, 0, 0])
        hits += low <= means[0] - means[1] <= high
    return 100 * hits / times


def signs_of_pairs(shares: ndarray, labels: ndarray, rng: np.random.Generator) -> float:
    """The exact sign test: disjoint pairs of targets, own samples against the partner's, ties broken at random."""
    agreement = shares[:, labels]
    i = np.arange(0, len(labels) - 1, 2)
    excess = agreement[i, i] + agreement[i + 1, i + 1] - agreement[i, i + 1] - agreement[i + 1, i]
    above, n = (excess > 1e-9).sum(), (abs(excess) > 1e-9).sum()
    return float(stats.binom.sf(above, n, 0.5) + rng.random() * stats.binom.pmf(above, n, 0.5))


def power(prior: ndarray, encoded: float, targets: int, times: int) -> list[float]:
    """Share of p < 0.01 for each test, if samples (16) have their target's label oftener, by `encoded` of the rest."""
    rng, found = np.random.default_rng(0), []
    for _ in range(times):
        labels = rng.choice(len(prior), targets, p=prior)
        posterior = (1 - encoded) * prior + encoded * np.eye(len(prior))[labels]
        shares = np.array([rng.multinomial(16, row) for row in posterior]) / 16
        found.append([signs_of_pairs(shares, labels, rng), shuffle_test(shares, labels, 0, rng)])
    return (100 * (np.array(found) < 0.01).mean(0)).tolist()


def main(times: int) -> None:
    columns = [f"{targets} x {samples}" for targets, samples in product(TARGETS, SAMPLES)]
    for name, methods, draw, places in (
        ("rate: t / score", [student, lambda c, _: mean(c, 0, 1)], rates, list(RATES)),
        ("corrected: t / bootstrap / score", [student, bootstrap, corrected], scores, list(product(PRIORS, MODELS))),
    ):
        table = Table(name, *columns)
        for place in track(places, name):
            cells = covered(draw, place, methods, times)
            table.add_row(str(place), *("/".join(f"{value:.0f}" for value in cell) for cell in cells))
        Console(width=220).print(table)
    table = Table("necessity over donors", *(f"gamma, shape {shape:g}" for shape in SHAPES))
    for sizes, means in product(DONORS, ((0.8, 0.1), (0.5, 0.5))):
        cells = (f"{donors(shape, sizes, means, times):.0f}" for shape in SHAPES)
        table.add_row(f"{sizes}, {means[0]:g} and {means[1]:g}", *cells)
    Console(width=220).print(table)
    table = Table("p < 0.01: signs of pairs / shuffles", "24 targets", "100 targets")
    for name, encoded in product(PRIORS, (0.1, 0.3)):
        found = [power(PRIORS[name], encoded, targets, times) for targets in (24, 100)]
        table.add_row(f"{name}, encoded {encoded:g}", *(f"{signs:.0f} / {shuffles:.0f}" for signs, shuffles in found))
    Console(width=220).print(table)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
