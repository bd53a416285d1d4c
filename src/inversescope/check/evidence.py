"""Inputs that speak for or against a claim about one activation: verified draws, and the controls beside them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from inversescope.stats.weights import effective_sample_size, systematic
from inversescope.tasks import Tokens


@dataclass(frozen=True)
class Inputs:
    """Distinct inputs with their text, and weights of sum one (0 everywhere where none has weight)."""

    tokens: tuple[Tokens, ...]
    texts: tuple[str, ...]
    weights: Float[ndarray, " n"]

    @classmethod
    def of(cls, tokens: list[Tokens], texts: list[str], weights: Float[ndarray, " n"]) -> Self:
        """Inputs that have weight, each once."""
        totals: defaultdict[Tokens, float] = defaultdict(float)
        for row, weight in zip(tokens, weights.tolist(), strict=True):
            totals[row] += weight
        text_of = dict(zip(tokens, texts, strict=True))
        kept = [row for row, total in totals.items() if total > 0]
        shares = np.array([totals[row] for row in kept])
        return cls(tuple(kept), tuple(text_of[row] for row in kept), shares / shares.sum() if kept else shares)

    @classmethod
    def joined(cls, samples: Sequence[Self]) -> Self:
        """Several samples of one distribution as one, each by the number of inputs that its weights are worth."""
        weights = [sample.size * sample.weights for sample in samples]
        tokens = [row for sample in samples for row in sample.tokens]
        return cls.of(tokens, [text for sample in samples for text in sample.texts], np.concatenate(weights))

    @property
    def size(self) -> float:
        """Effective number of inputs."""
        return float(effective_sample_size(self.weights[None])[0])

    def __len__(self) -> int:
        return len(self.tokens)

    def picked(self, n: int, rng: np.random.Generator) -> Self:
        """`n` inputs picked by their weights, equal ones as one; all of them where there are no more."""
        if len(self) <= n:
            return self
        places, times = np.unique(systematic(self.weights, n, rng), return_counts=True)
        chosen = places.tolist()
        return type(self)(
            tuple(self.tokens[i] for i in chosen), tuple(self.texts[i] for i in chosen), times / times.sum()
        )

    def without(self, source: Tokens | None) -> Float[ndarray, " n"]:
        """The weights, 0 for the source."""
        return self.weights * np.array([row != source for row in self.tokens], dtype=float)


NONE = Inputs((), (), np.zeros(0))


@dataclass(frozen=True)
class Evidence:
    """Inputs on which every claim about one activation is measured.

    Attributes:
        source: the text as people read it, or the name of a vector.
        tokens: the source input; None for a vector.
        site, level: where the activation was read, and the level of the draws, in words.
        draws: inputs that give the activation: verified draws, and stored inputs.
        prior: inputs of the prior.
        exact: the prior's inputs are the whole prior, so that its shares have no error.
        ending: inputs that share the last tokens with the source; without any where there is no source, or too few
            have its ending.
        shared: number of these tokens; None where there is no such control.
        targets: draws for other targets.
        left_out: the reason why nothing can be decided from the draws; None where it can.
        outside: the activation is outside of the prior.
    """

    source: str
    tokens: Tokens | None
    site: str
    level: str
    draws: Inputs
    prior: Inputs
    exact: bool
    ending: Inputs = NONE
    shared: int | None = None
    targets: tuple[Inputs, ...] = ()
    left_out: str | None = None
    outside: bool = False
    nearest: tuple[str, ...] = field(default=(), compare=False)

    def all(self) -> Iterator[Inputs]:
        """The draws and the inputs of every control."""
        yield from (self.draws, self.prior, self.ending, *self.targets)
