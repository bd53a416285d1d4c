"""One activation inverted into natural text: all draws as texts, their weights where they are to be believed, and the
nearest of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from inversescope.natural_text.estimate import Estimate, Weighted
from inversescope.natural_text.natural_text import BITS, NaturalText

NEAREST = 32
STEPS = 12  # resolutions tried from the wanted one downwards
LIGHT = 1e-6  # weight below which a draw says nothing


class Inverted(NamedTuple):
    """Draws of one activation.

    Attributes:
        texts: draws with any weight.
        weights: of sum one; None where no resolution is to be believed.
        bits: their resolution.
        nearest: the nearest draws, believed or not; each is one input.
        distance: δ of the nearest.
    """

    texts: list[str]
    weights: Float[ndarray, " n"] | None
    bits: float | None
    nearest: list[str]
    distance: float


def inverted(text: NaturalText, activation: Float[Tensor, " d"], site: str, proposals: int, seed: int = 0) -> Inverted:
    """Draws at six bits, or at the most bits below that are to be believed."""
    weighted = text.weighted(text.question(activation, site), None, proposals, seed)
    nearest: dict[tuple[int, ...], float] = {}
    for row in np.argsort(weighted.distance, kind="stable").tolist():
        nearest.setdefault(weighted.rows[row], weighted.distance[row])
        if len(nearest) == NEAREST:
            break
    shown = [text.subject.decode(tokens) for tokens in nearest]
    estimate = believed(weighted)
    if estimate is None:
        return Inverted([], None, None, shown, min(nearest.values()))
    rows = np.flatnonzero(estimate.weights > LIGHT)
    texts = [text.subject.decode(weighted.rows[row]) for row in rows.tolist()]
    weights = estimate.weights[rows] / estimate.weights[rows].sum()
    return Inverted(texts, weights, estimate.bits, shown, min(nearest.values()))


def believed(weighted: Weighted, bits: float = BITS) -> Estimate | None:
    """The posterior at the most bits, of those tried, that is to be believed."""
    for step in range(STEPS + 1):
        estimate = weighted.at_bits(bits * (1 - step / (STEPS + 1)))
        if estimate.belief:
            return estimate
    return None
