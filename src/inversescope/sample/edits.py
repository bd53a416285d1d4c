"""Edits of an input: the plainest way to inputs whose activations may be near, and a baseline for every other.

An edit splices other inputs into the source: k of its positions, k geometric with mean 2, get the tokens that random
inputs of the training set have there. So each token is one that may stand at its place; how they go together is not
looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from inversescope.tasks import Tokens

CHANGED = 0.5  # of the geometric distribution: one position in half of the edits, two in a quarter, and so on
ABSENT = -1  # where an input is shorter


def edits_of(
    sources: Sequence[Tokens], others: Sequence[Tokens], n: int, rng: np.random.Generator
) -> list[list[Tokens | None]]:
    """`n` edits of each source, none of them the source itself; None where the others have its tokens everywhere."""
    length = max(map(len, sources))
    there = np.full((len(others), length), ABSENT)
    for row, tokens in enumerate(others):
        there[row, : len(tokens)] = tokens[:length]
    return [_edits(source, there, n, rng) for source in sources]


def _edits(
    source: Tokens, there: Int[ndarray, "others length"], n: int, rng: np.random.Generator
) -> list[Tokens | None]:
    """Edits of one source; `there` has the tokens of the other inputs by position."""
    columns = [there[:, place] for place in range(len(source))]
    choices = [column[(column != ABSENT) & (column != token)] for column, token in zip(columns, source, strict=True)]
    free = [place for place, choice in enumerate(choices) if len(choice)]
    if not free:
        return [None] * n
    edits: list[Tokens | None] = []
    for changed in np.minimum(rng.geometric(CHANGED, n), len(free)):
        tokens = list(source)
        for place in rng.choice(free, changed, replace=False):
            tokens[place] = int(rng.choice(choices[place]))
        edits.append(tuple(tokens))
    return edits
