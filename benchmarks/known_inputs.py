"""Stored inputs as a sample of the prior: bias and spread of a share, by four ways to weight them.

    python benchmarks/known_inputs.py [--repeats 40] [--train 4000] [--pool 2500] [--targets 24]

Splits are drawn as in `collect`, from priors of 20 forms of sentences, each a twentieth of the prior: all with as many
texts, and with 30 to 20,000 of them, so that the short forms are drawn many times and the long ones hardly twice. Asked
is the share of each form, .05. `rows`: training inputs and targets at their probability, and every row of the pool for
as much of the rest; `pool`: the same with the rows weighted, as the reference has it (`stats.weights.beside_known`);
`draws`: targets at their probability, and the rows of training and pool for the rest; `inverse`: targets so, and each
distinct one of these rows by P over the probability π of being drawn (Horvitz and Thompson 1952).
"""

from __future__ import annotations

import argparse
from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np

from inversescope.collect.draw_inputs import draw_splits
from inversescope.config import CollectConfig
from inversescope.stats.weights import beside_known

FORMS = 20
PRIORS = {"as many texts each": np.full(FORMS, 768), "30 to 20,000 texts": np.geomspace(30, 20_000, FORMS).astype(int)}


class Forms:
    """A prior of forms, an input being its form and its number."""

    rows = None

    def __init__(self, texts: np.ndarray):
        self.texts = texts

    def draw(self, n: int, rng: np.random.Generator) -> list[tuple[int, int]]:
        forms = rng.integers(FORMS, size=n)
        return list(zip(forms.tolist(), rng.integers(self.texts[forms]).tolist(), strict=True))

    def chance(self, inputs: list[tuple[int, int]]) -> np.ndarray:
        return 1 / FORMS / self.texts[[form for form, _ in inputs]]


def shares(prior: Any, config: CollectConfig, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Share of each form by each way, and the probability of the known inputs."""
    splits = draw_splits(config, prior, rng)
    targets, rows = sorted(set(splits["target"])), [*splits["train"], *splits["pool"]]
    known, distinct = sorted({*splits["train"], *targets}), sorted(set(rows))
    p_known, p_targets = prior.chance(known), prior.chance(targets)
    rest = 1 - p_targets.sum()
    pool = [*splits["pool"], *known]
    drawn, in_pool = prior.chance(distinct), prior.chance(splits["pool"])
    seen, also = (-np.expm1(len(rows) / rest * np.log1p(-p)) for p in (drawn, in_pool))
    weights, times = drawn / seen, Counter(splits["pool"])
    trained = len(set(splits["train"])) / len(distinct)
    stands = beside_known(in_pool, also, trained) / [times[row] for row in splits["pool"]]
    own = by_form(targets, p_targets)
    return {
        "rows": by_form(pool, beside(p_known, np.ones(len(in_pool)))),
        "draws": own + by_form(rows, np.full(len(rows), rest / len(rows))),
        "pool": by_form(pool, beside(p_known, stands)),
        "inverse": own + by_form(distinct, rest * weights / weights.sum()),
        "probability": p_known.sum(keepdims=True),
    }


def beside(known: np.ndarray, pool: np.ndarray) -> np.ndarray:
    """Shares of the pool, which has what the known inputs behind it leave."""
    return np.concatenate((pool / pool.sum() * (1 - known.sum()), known))


def by_form(inputs: list[tuple[int, int]], weights: np.ndarray) -> np.ndarray:
    return np.bincount([form for form, _ in inputs], weights, FORMS)


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in {"repeats": 40, "train": 4000, "pool": 2500, "targets": 24}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    options: SimpleNamespace = parser.parse_args(namespace=SimpleNamespace())
    config = CollectConfig(train=options.train, pool=options.pool, targets=options.targets)
    for words, texts in PRIORS.items():
        rng = np.random.default_rng(0)
        found = [shares(Forms(texts), config, rng) for _ in range(options.repeats)]
        probability = np.mean([each["probability"] for each in found])
        print(f"{words}: known inputs {probability:.2f} of the prior")
        for way in ("rows", "pool", "draws", "inverse"):
            values = np.array([each[way] for each in found])
            first, last = values.mean(0)[[0, -1]]
            print(
                f"  {way:8} first form {first:.4f}, last {last:.4f}; largest bias "
                f"{np.abs(values.mean(0) - 1 / FORMS).max():.4f}, standard deviation {values.std(0).mean():.4f}"
            )


if __name__ == "__main__":
    main()
