"""A site of which it is known what it holds: the split of a run, and sentences to make it of."""

from __future__ import annotations

import numpy as np

from inversescope.propose import Limits
from inversescope.propose.split import Case, Split

COLOURS, ANIMALS = ("red", "blue", "green", "white"), ("cat", "dog", "owl", "fox")
LIMITS = Limits(hypotheses=6, samples=4, prior=24)
RED = "Is something red in the text?"
COLOUR = {"words": "the colour", "expression": "word(1)"}
ANIMAL = {"words": "the animal", "expression": "word(2)"}


def texts(n: int, rng: np.random.Generator, colour: str | None = None) -> list[str]:
    """Sentences with a colour, an animal and a number, each drawn alone."""
    return [
        f"a {colour or COLOURS[rng.integers(4)]} {ANIMALS[rng.integers(4)]} saw {rng.integers(100)} of them"
        for _ in range(n)
    ]


def planted(targets: int = 16, n: int = 8) -> Split:
    """A site that holds the colour and nothing else: samples share it with their source."""
    rng = np.random.default_rng(0)
    sources = [f"a {COLOURS[i % 4]} {ANIMALS[rng.integers(4)]} saw {rng.integers(100)} of them" for i in range(targets)]
    cases = [Case(i, source, texts(n, rng, source.split()[1]), np.full(n, 1 / n)) for i, source in enumerate(sources)]
    return Split("resid_post.1", 0.1, cases[:4], cases[4:], 0, texts(200, rng), np.full(200, 1 / 200), seed=0)
