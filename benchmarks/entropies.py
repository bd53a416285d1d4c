"""Bias of entropy estimates with few samples. Simulated; no model.

    python benchmarks/entropies.py

Each of 3,000 targets has label shares of its own (Dirichlet) and some samples of them. A few seconds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy import ndarray
from rich.console import Console
from rich.table import Table
from scipy.special import digamma

from inversescope.stats.labels import entropy

TARGETS, SAMPLES = 3000, (4, 8, 16, 32)
LABELS = {
    "2 labels, Dirichlet 0.6": (2, 0.6),
    "8 labels, Dirichlet 0.3": (8, 0.3),
    "20 labels, Dirichlet 0.2": (20, 0.2),
}

Entropy = Callable[[ndarray, int], ndarray]  # of counts [targets, labels], in bits


def plug_in(counts: ndarray, n: int) -> ndarray:
    shares = counts / n
    return -(shares * np.log2(np.where(shares > 0, shares, 1))).sum(1)


def miller_madow(counts: ndarray, n: int) -> ndarray:
    return entropy(counts / n, np.full(len(counts), float(n)))


def grassberger(counts: ndarray, n: int) -> ndarray:
    """Grassberger 2003, arXiv physics/0307138."""
    seen = np.where(counts > 0, counts, 1)
    terms = digamma(seen) + 0.5 * (-1.0) ** seen * (digamma((seen + 1) / 2) - digamma(seen / 2))
    return (np.log(n) - (counts * terms).sum(1) / n) / np.log(2)


def jackknife(counts: ndarray, n: int) -> ndarray:
    """Zahl 1977: each sample is left out once."""
    without = np.zeros(len(counts))
    for label in range(counts.shape[1]):
        fewer, seen = counts.copy(), counts[:, label] > 0
        fewer[:, label] -= 1
        without[seen] += counts[seen, label] / n * plug_in(fewer[seen], n - 1)
    return n * plug_in(counts, n) - (n - 1) * without


def main() -> None:
    estimates: tuple[Entropy, ...] = (plug_in, miller_madow, grassberger, jackknife)
    table = Table("bias (root mean square error), bits", "samples", *(each.__name__ for each in estimates))
    for name, (count, alpha) in LABELS.items():
        rng = np.random.default_rng(0)
        shares = rng.dirichlet(np.full(count, alpha), TARGETS)
        truth = plug_in(shares, 1)
        for n in SAMPLES:
            counts = rng.multinomial(n, shares)
            errors = [each(counts, n) - truth for each in estimates]
            cells = (f"{error.mean():+.2f} ({(error**2).mean() ** 0.5:.2f})" for error in errors)
            table.add_row(name, str(n), *cells)
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
