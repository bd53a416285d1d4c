"""Edge cases of the statistics, where the truth is known: before and after a mend, and how far off the others are.

    python benchmarks/edge_cases.py [--repeats 60]

`shuffled`: corrected score of another target's draws, at sites that encode one token each of prompts as those of IOI,
for the next target, as until 28 November 2026, and for a random one; 0 is right. `halves`: hashes of the input that
`explain` would call above chance where the posterior has few inputs, by two halves of the draws, as until that day, and
by halves without a common input; 0 is right. Beside it how often a feature is found that .8 of the inputs share.
`targets`: corrected score of features that only the likeliest tenth of inputs decides, over an uneven prior and in the
mean over distinct targets. `bits`: bits of a hash by an exact posterior, as scored and by its own sums.
"""

from __future__ import annotations

import argparse
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy import ndarray

from inversescope.collect.draw_inputs import draw_splits
from inversescope.config import CollectConfig
from inversescope.explain.halves import factors
from inversescope.score.feature import PriorLabels, score_feature
from inversescope.score.one_activation import score_activation
from inversescope.stats.resampling import q_values
from inversescope.stats.weights import importance_weights

SHARED = 0.8  # of the inputs of a posterior have the source's label of the true feature
FEW = CollectConfig(train=20, pool=20, targets=24)


def targets(draw: Any, repeats: int) -> list[list[tuple[int, ...]]]:
    """The targets of so many runs, as `collect` draws and sorts them."""
    task: Any = SimpleNamespace(rows=None, draw=draw)
    return [draw_splits(FEW, task, np.random.default_rng(seed))["target"] for seed in range(repeats)]


def shuffled(repeats: int) -> None:
    sizes, found = (2, 16, 6, 8, 10), []
    for chosen in targets(lambda n, rng: list(map(tuple, rng.integers(sizes, size=(n, 5)).tolist())), repeats):
        order = np.random.default_rng(len(found)).permutation(len(chosen))
        for labels in (np.array(chosen), np.array(chosen)[order]):
            found.append(
                (np.mean(labels == np.roll(labels, 1, 0), 0) - 1 / np.array(sizes)) / (1 - 1 / np.array(sizes))
            )
    print("shuffled: next", np.mean(found[::2], 0).round(2), "random", np.mean(found[1::2], 0).round(2))


def half(inputs: int, rng: np.random.Generator) -> tuple[ndarray, ndarray]:
    """64 draws of a posterior of so many inputs, of which number 0 is the source, and the weights of the others."""
    drawn, flat = rng.integers(inputs, size=64), np.full(64, -np.log(inputs))
    return drawn, np.where(drawn == 0, 0, importance_weights(flat, flat, drawn.tolist()).weights)


def halves(repeats: int) -> None:
    prior = PriorLabels(np.array([0.5, 0.5]), 2500.0)
    for inputs in (30, 60, 120, 180):
        rng, hashes, true = np.random.default_rng(inputs), [], []
        for _ in range(repeats):
            labels = rng.integers(2, size=(120, inputs))
            labels[0] = np.where(rng.permutation(inputs) < SHARED * inputs, labels[0, 0], 1 - labels[0, 0])
            (first, of_first), (drawn, weights) = half(inputs, rng), half(inputs, rng)
            rows = [[(int(number),) for number in each] for each in (first, drawn)]
            to_propose, to_confirm = factors(rows[0], rows[1], of_first)
            for proposing, confirming in ((of_first, weights), (of_first * to_propose, weights * to_confirm)):
                low = [
                    score_activation(own[first], proposing, int(own[0]), prior, True).corrected.low for own in labels
                ]
                best = [row for row in np.argsort(low)[::-1][:12].tolist() if low[row] > 0]
                scores = [
                    score_activation(labels[row][drawn], confirming, int(labels[row, 0]), prior, True) for row in best
                ]
                q = q_values(np.array([score.p_value for score in scores], dtype=float))
                sure = {
                    row
                    for row, score, of_row in zip(best, scores, q, strict=True)
                    if score.corrected.low > 0 and of_row <= 0.05
                }
                hashes.append(len(sure - {0}))
                true.append(0 in sure)
        print(
            f"halves: posterior of {inputs}: {np.mean(hashes[::2]):.2f} hashes, apart {np.mean(hashes[1::2]):.2f}; the "
            f"true feature is found in {np.mean(true[::2]):.2f}, apart {np.mean(true[1::2]):.2f}"
        )


def distinct(repeats: int) -> None:
    for size in (200, 15_360):
        p = 1 / np.arange(1, size + 1)
        p /= p.sum()
        label = np.random.default_rng(0).integers(2, size=size)
        chance = np.bincount(label, p)[label]
        known = np.where(p > np.quantile(p, 0.9), 1.0, chance)
        chosen = targets(lambda n, rng, p=p: [(int(x),) for x in rng.choice(len(p), n, p=p)], repeats)
        rows = [np.array(run)[:, 0] for run in chosen]
        means = [(known[row] - chance[row]).mean() / (1 - chance[row]).mean() for row in rows]
        whole = p @ (known - chance) / (p @ (1 - chance))
        print(f"targets: {size} inputs, P ~ 1/rank: {whole:.2f}; mean over distinct targets {np.mean(means):.2f}")


def bits(_: int) -> None:
    for labels, size, inputs in ((2, 40, 4), (8, 200, 8), (16, 15_360, 30)):
        rng = np.random.default_rng(0)
        codes = rng.integers(labels, size=size)
        near = np.array([rng.choice(size, inputs, replace=False) for _ in range(24)])
        prior = PriorLabels.of(codes, np.full(size, 1 / size), labels)
        weights = np.full(near.shape, 1 / inputs)
        scored = score_feature(codes[near], weights, codes[near[:, 0]], prior, np.ones(24, dtype=bool)).bits.value
        shares = [np.bincount(row, minlength=labels) / inputs for row in codes[near]]
        exact = entropy(np.bincount(codes) / size) - np.mean([entropy(share) for share in shares])
        print(f"bits: {labels} labels, {inputs} of {size} inputs: {scored:.2f}, by the sums {exact:.2f}")


def entropy(shares: ndarray) -> float:
    return float(-(shares[shares > 0] * np.log2(shares[shares > 0])).sum())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=60)
    repeats = parser.parse_args().repeats
    for case in (shuffled, halves, distinct, bits):
        case(repeats)


if __name__ == "__main__":
    main()
