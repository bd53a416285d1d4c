"""A question: one activation at one site, and everything that reads and proposes for it.

Dimensions: `n` activations, `d` coordinates of the site, `e` ends, `k` their tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inversescope.natural_text.pool import Pool
from inversescope.natural_text.prior import PriorTokens
from inversescope.natural_text.readings import read_alone
from inversescope.natural_text.site_data import SiteData
from inversescope.subject.continuing import Continuing

BANDWIDTHS = (0.1, 0.15, 0.2, 0.3, 0.5)  # mixed in every proposal


@dataclass
class Question:
    """One activation at one site, in the site's units, and what reads and proposes for it."""

    data: SiteData
    target: Float[Tensor, " d"]
    reader: Continuing
    pool: Pool
    words: PriorTokens
    bandwidths: Sequence[float] = BANDWIDTHS
    _read: dict[tuple[int, ...], Float[Tensor, " d"]] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Tokens of an input."""
        return self.data.length

    def distance(self, activations: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """δ of activations as they are read."""
        return self.of_standardized(self.data.units.standardize(activations))

    def of_standardized(self, activations: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """δ of activations in the site's units."""
        return self.data.units.distance(activations, self.target.expand_as(activations))

    def alone(self, ends: Int[Tensor, "e k"]) -> Float[Tensor, "e d"]:
        """Standardized activations of ends read alone; each is read once."""
        if ends.shape[1] == 1:
            return self.data.units.standardize(self.data.alone[ends[:, 0]].float())
        rows = [tuple(row) for row in ends.tolist()]
        new = [row for row in dict.fromkeys(rows) if row not in self._read]
        if new:
            read = read_alone(self.reader, torch.tensor(new))[self.data.site]
            self._read |= dict(zip(new, self.data.units.standardize(read), strict=True))
        return torch.stack([self._read[row] for row in rows])


@dataclass(frozen=True)
class Source:
    """Source input whose activation is inverted, or a vector, which has none; and the question about it.

    Attributes:
        name: the text, or the name of the vector.
        question: the question.
        own: tokens of the text without the subject's prefix; None for a vector.
    """

    name: str
    question: Question
    own: tuple[int, ...] | None
