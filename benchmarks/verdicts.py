"""Verdicts on planted generators, in worlds small enough to enumerate; no model.

    python benchmarks/verdicts.py [CASES] [fine]

Inputs are three words; at each of three sites the words are encoded with other strengths. A fifth of the inputs is
trained on. Four kinds of generator, each with a known q, CASES of each (25 by default), every second one in a world
whose prior is not known:

perfect      the posterior itself
copying      from half to all of its draws from the training inputs, by their kernel weights
early        the posterior mixed with the prior, which has 40 to 90%
broken site  perfect but for one site, where it is the prior

A case is right if every one of its six questions (three sites, two bandwidths) has the right verdict. With `fine`,
there is one bandwidth at each site, at which little but the source remains.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from inversescope.calibrate.calibrate import DRAWS
from inversescope.calibrate.divergence import Comparison
from inversescope.collect.inputs import Inputs
from inversescope.collect.store import Store
from inversescope.generator import Generator
from inversescope.sites import Site
from inversescope.stats.kernel import Kernel
from inversescope.stats.weights import effective_sample_size
from inversescope.tasks import Task, Tokens
from inversescope.units import Units
from inversescope.verdicts import of_question

WORDS, CODE = 16, 6  # words of each slot; coordinates that encode one
TRAIN, POOL, TARGETS = 950, 800, 160  # draws of each split; stand-ins
REMAINING = (1 / 8, 1 / 20)  # share of the prior that remains at each bandwidth
FINE = (1.2 / WORDS**3,)  # the same where little but the source remains
SITES = tuple(Site("resid_post", layer) for layer in range(3))
RIGHT = {"perfect": "calibrated", "copying": "copies", "early": "undertrained", "broken site": "undertrained"}


class World(Store):
    """Inputs with their probability, their activations, and a store of draws from them; as task and store in one."""

    name, cut, rows, features = "planted", "end", None, ("first", "second", "third")

    def __init__(self, seed: int, known: bool, remaining: Sequence[float] = REMAINING):
        super().__init__(Path())
        rng = np.random.default_rng([seed, 97])
        self.known = known
        self.tokens: list[Tokens] = [(a, WORDS + b, 2 * WORDS + c) for a, b, c in product(range(WORDS), repeat=3)]
        self.place = {tokens: place for place, tokens in enumerate(self.tokens)}
        shares = rng.dirichlet(np.full(WORDS, 8.0))
        self.prior = np.array([shares[tokens[0]] for tokens in self.tokens]) / WORDS**2
        self.read = {site: self._read(rng) for site in SITES}
        self.splits = dict(zip(("train", "pool"), self._split(rng), strict=True))
        self.bandwidths = {site: [self._bandwidth(site, share) for share in remaining] for site in SITES}

    def _read(self, rng: np.random.Generator) -> Float[Tensor, "inputs d"]:
        """Codes of the words, each slot with a strength of its own, and a little of the whole input."""
        codes, strengths = rng.normal(size=(3 * WORDS, CODE)), rng.uniform(0.4, 1.5, 3)
        parts = [strengths[slot] * codes[[tokens[slot] for tokens in self.tokens]] for slot in range(3)]
        read = np.concatenate(parts, 1)
        return torch.tensor(read + 0.1 * rng.normal(size=read.shape)).float()

    def _split(self, rng: np.random.Generator) -> tuple[list[int], list[int]]:
        """Draws, each new input into the split that is further from full, where its repeats go too."""
        splits, sizes, home = ([], []), (TRAIN, POOL), {}
        for place in rng.choice(len(self.prior), 10 * (TRAIN + POOL), p=self.prior).tolist():
            which = home.setdefault(place, int(len(splits[0]) / TRAIN > len(splits[1]) / POOL))
            if len(splits[which]) < sizes[which]:
                splits[which].append(place)
        return splits

    def posterior(self, site: Site, activations: Float[Tensor, "n d"], bandwidth: float) -> Float[ndarray, "n inputs"]:
        """P(x; ẑ, s, h) over all inputs."""
        distances = self.distance(site).between(self.read[site], activations).T.double().numpy()
        return Kernel.GAUSSIAN.posterior(distances, bandwidth, np.log(self.prior))

    def _bandwidth(self, site: Site, share: float) -> float:
        """The bandwidth at which so large a share of the inputs remains, by bisection of ln h."""
        low, high = np.log(0.01), np.log(10)
        for _ in range(14):
            middle = (low + high) / 2
            sizes = effective_sample_size(self.posterior(site, self.read[site][::200], float(np.exp(middle))))
            low, high = (middle, high) if np.median(sizes) < share * len(self.prior) else (low, middle)
        return float(np.exp(low))

    # As a store
    @property
    def exact(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """False: the pool is draws."""
        return False

    def inputs(self, split: str) -> Inputs:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The inputs of a split."""
        tokens = [self.tokens[place] for place in self.splits[split]]
        labels = [self.labels(row) for row in tokens]
        return Inputs(tokens, [""] * len(tokens), {name: [row[name] for row in labels] for name in self.features})

    def activations(  # pyright: ignore[reportIncompatibleVariableOverride]
        self, split: str, site: Site
    ) -> Float[Tensor, "n d"]:
        """The activations of a split."""
        return self.read[site][self.splits[split]]

    def units(self, site: Site) -> Units:
        """The site's mean and standard deviation over the pool."""
        return Units.of(self.activations("pool", site))

    # As a task
    def labels(self, tokens: Sequence[int]) -> dict[str, str]:
        """The words."""
        return dict(zip(self.features, map(str, tokens), strict=True))

    def log_prior(self, tokens: Sequence[int]) -> float | None:
        """ln P, or None in a world whose prior is not known."""
        return float(np.log(self.prior[self.place[tuple(tokens)]])) if self.known else None

    def draw(self, n: int, rng: np.random.Generator) -> list[Tokens]:
        """Independent draws from the prior."""
        return [self.tokens[place] for place in rng.choice(len(self.prior), n, p=self.prior)]

    def enumerate(self) -> Iterator[tuple[Tokens, float]]:
        """Every input with its probability."""
        return zip(self.tokens, self.prior.tolist(), strict=True)

    def contrast(self, tokens: Sequence[int]) -> None:
        """None: no model reads these inputs."""

    def accuracy(self, subject: object, n: int, rng: np.random.Generator) -> None:
        """None, for the same reason."""


@dataclass(frozen=True)
class _Places:
    """Places of inputs, as a vocabulary."""

    place: dict[Tokens, int]

    def encode(self, inputs: Sequence[Tokens]) -> Tensor:
        """One row an input."""
        return torch.tensor([self.place[tokens] for tokens in inputs])[:, None]


class Planted(Generator):
    """A generator whose q is known: rows of probabilities over the world's inputs, by the number of a condition."""

    def __init__(self, world: World, kind: str, rng: np.random.Generator):
        torch.nn.Module.__init__(self)  # it has no weights
        self.world, self.kind = world, kind
        self.share = rng.uniform(0.5, 1) if kind == "copying" else rng.uniform(0.4, 0.9)
        self.broken = SITES[rng.integers(len(SITES))]
        self.q = world.prior[None]
        self.vocabulary = cast(Any, _Places(world.place))

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        """A tensor on its device."""
        yield torch.zeros(1)

    def condition(  # pyright: ignore[reportIncompatibleMethodOverride] - it has no stored inputs to be weighted
        self, site: Site, activations: Tensor, bandwidths: Tensor
    ) -> Tensor:
        """Numbers of new rows of q."""
        q, prior = self.world.posterior(site, activations, float(bandwidths[0])), self.world.prior
        if self.kind == "copying":
            counts = np.bincount(self.world.splits["train"], minlength=len(prior))
            copies = q * counts / prior
            q = self.share * copies / copies.sum(1, keepdims=True) + (1 - self.share) * q
        elif self.kind == "early":
            q = self.share * prior + (1 - self.share) * q
        elif self.kind == "broken site" and site == self.broken:
            q = np.tile(prior, (len(q), 1))
        self.q = np.concatenate((self.world.prior[None], q))
        return torch.arange(1.0, len(self.q))[:, None]

    def no_condition(self, batch: int) -> Tensor:
        """The row of the prior."""
        return torch.zeros(batch, 1)

    def nats(self, rows: Tensor, condition: Tensor) -> Tensor:
        """−ln q."""
        return torch.from_numpy(-np.log(self.q[condition[:, 0].long().numpy(), rows[:, 0].numpy()]))

    def draw(  # pyright: ignore[reportIncompatibleMethodOverride] - the number of samples is always given
        self, condition: Tensor, rng: torch.Generator, samples: int
    ) -> tuple[list[Tokens | None], Tensor]:
        """Draws for each condition, and their −ln q."""
        q = torch.from_numpy(self.q[condition[:, 0].long().numpy()])
        places = torch.multinomial(q, samples, replacement=True, generator=rng)
        return [self.world.tokens[place] for place in places.flatten().tolist()], -q.gather(1, places).log().flatten()


def verdicts(kind: str, seed: int, remaining: Sequence[float] = REMAINING) -> list[tuple[str, str]]:
    """The right verdict on each question of a case, and the one given."""
    world = World(seed, known=seed % 2 == 0, remaining=remaining)
    planted = Planted(world, kind, np.random.default_rng([seed, 98]))
    comparison = Comparison(world, cast(Task, world), TARGETS, DRAWS, seed)
    found = []
    for site in SITES:
        right = RIGHT["perfect" if kind == "broken site" and site != planted.broken else kind]
        for bandwidth in world.bandwidths[site]:
            divergences = comparison.compare(planted, site, bandwidth, "clean")
            found.append((right, of_question(divergences.measured(outside=False)).judgement))
    return found


def main() -> None:
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else 25
    remaining = FINE if sys.argv[2:] == ["fine"] else REMAINING
    words = ("calibrated", "copies", "undertrained", "cannot tell")
    table = Table("generator", "right verdict", *words, "cases right")
    for kind in RIGHT:
        found = [verdicts(kind, seed, remaining) for seed in track(range(cases), kind)]
        right = sum(all(given == expected for expected, given in case) for case in found)
        counts = Counter(question for case in found for question in case)
        for expected in dict.fromkeys(expected for case in found for expected, _ in case):
            table.add_row(kind, expected, *(str(counts[expected, word]) for word in words), f"{right} of {cases}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
