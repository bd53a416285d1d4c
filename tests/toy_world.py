"""A world small enough to enumerate: eight inputs, their probabilities, what two sites read of them, and a store of it.

Activations are made by hand, so every posterior is a sum over eight terms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy import ndarray
from safetensors.torch import save_file

from inversescope import files, records
from inversescope.collect.store import SHARDS, Store
from inversescope.sites import Site
from inversescope.tasks import Labels, Tokens
from inversescope.units import Units

# Probabilities are multiples of 1/20, so that a split of 40 rows holds them exactly.
PRIOR: dict[Tokens, float] = {
    (0, 3): 0.25, (0, 4): 0.15, (0, 5): 0.10, (0, 3, 3): 0.15,
    (0, 3, 4): 0.10, (0, 4, 3): 0.10, (0, 4, 4): 0.10, (0, 5, 3): 0.05,
}  # fmt: skip
INPUTS = list(PRIOR)
COUNTS, LAST = Site("resid_post", 0), Site("resid_post", 1)
Read = Callable[[Tokens], Mapping[Site, Sequence[float]]]


def read(tokens: Tokens) -> dict[Site, list[float]]:
    """COUNTS holds how often each token occurs, so 3 4 and 4 3 have one activation; LAST the last token alone."""
    counts = [float(tokens.count(token)) for token in (3, 4, 5)]
    return {COUNTS: [100 * counts[0], counts[1] - 7, counts[2], 1.0], LAST: [float(tokens[-1] == 3), float(tokens[-1])]}


def posterior(z: ndarray, site: Site, bandwidth: float) -> ndarray:
    """P(x; z, s, h) of every input, from the formula, in numpy: units are the standard deviations over the prior."""
    activations = np.array([read(x)[site] for x in INPUTS])
    probability = np.array(list(PRIOR.values()))
    deviation = np.sqrt(probability @ (activations - probability @ activations) ** 2 * 40 / 39)
    varies = deviation > 0
    squares = (((activations - z)[:, varies] / deviation[varies]) ** 2).mean(1)
    weights = probability * np.exp(-squares / (2 * bandwidth**2))
    return weights / weights.sum()


def rows() -> list[Tokens]:
    """Forty rows in which each input is as frequent as its probability says."""
    return [x for x, probability in PRIOR.items() for _ in range(round(40 * probability))]


def write_store(
    folder: Path,
    splits: Mapping[str, Sequence[Tokens]],
    read: Read,
    labels: Callable[[Tokens], Labels],
    probability: Mapping[Tokens, float] | None = None,
):
    """A store as `collect` leaves it, one shard a split, from hand-made activations and labels; with `probability`,
    the pool is the whole prior.
    """
    prior = probability or {}
    inputs = [(split, row, tokens) for split, part in splits.items() for row, tokens in enumerate(part)]
    rows = [
        {"split": split, "row": row, "tokens": list(tokens), "text": " ".join(map(str, tokens))}
        | {"probability": prior.get(tokens) if split == "pool" else None}
        | {f"{records.LABEL}{name}": label for name, label in labels(tokens).items()}
        for split, row, tokens in inputs
    ]
    folder.mkdir(parents=True, exist_ok=True)
    files.write_table(folder / records.collect.INPUTS.name, records.collect.INPUTS.of(rows))
    shards, statistics = [], {}
    for split, part in splits.items():
        values = [read(tokens) for tokens in part]
        tensors = {str(site): torch.tensor([value[site] for value in values]) for site in values[0]}
        save_file(tensors, folder / f"{split}.safetensors")
        shards.append({"file": f"{split}.safetensors", "split": split, "start": 0, "rows": len(part)})
        if split == "pool":
            for site, activations in tensors.items():
                shares = torch.tensor([prior[x] for x in part]) if prior else None
                units = Units.of(activations, shares)
                statistics |= {f"{site}.mean": units.mean, f"{site}.deviation": units.deviation}
    files.write_json(folder / SHARDS, shards)
    save_file(statistics, folder / "statistics.safetensors")
    return Store(folder)


class ToyTask:
    """The world as a task with one feature, the last token."""

    name, cut, rows, features = "toy", "end", None, ("last",)

    def draw(self, n: int, rng: np.random.Generator) -> list[Tokens]:
        return [INPUTS[i] for i in rng.choice(len(INPUTS), n, p=list(PRIOR.values()))]

    def enumerate(self) -> Iterator[tuple[Tokens, float]]:
        yield from PRIOR.items()

    def labels(self, tokens: Sequence[int]) -> Labels:
        return {"last": {3: "three", 4: "four"}.get(tokens[-1])}

    def log_prior(self, tokens: Sequence[int]) -> float | None:
        return float(np.log(PRIOR[tuple(tokens)])) if tuple(tokens) in PRIOR else -np.inf

    def contrast(self, tokens: Sequence[int]) -> None:
        return None

    def accuracy(self, subject: object, n: int, rng: np.random.Generator) -> None:
        return None
