"""What an estimate of the content leads to expect at each position, before anything is written there.

Dimensions: `batch` rows, `positions` of a row, `vocabulary` tokens, `width` of an estimate, `facts` that it speaks of.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from inversescope.generator.content import Content

# An estimate is never trusted to exclude a token by more than this factor of its prior probability.
FLOOR = 0.02


@dataclass(frozen=True)
class Expected:
    """How the probability of each token at each position differs from the prior's; all zero where nothing is known."""

    excess: Float[Tensor, "batch positions vocabulary"]  # the difference
    log_ratio: Float[Tensor, "batch positions vocabulary"]  # ln of the ratio, at least ln FLOOR


class Expectation(nn.Module):
    """Reads the facts "this token stands there" back from an estimate of the content."""

    def __init__(self, facts: int, positions: int, vocabulary: int, width: int):
        super().__init__()
        self.shape = (positions, vocabulary)
        self.register_buffer("prior", torch.zeros(facts))
        self.register_buffer("loadings", torch.zeros(width, facts))
        for name in ("position", "token"):
            self.register_buffer(name, torch.zeros(facts, dtype=torch.long))

    prior: Float[Tensor, " facts"]
    loadings: Float[Tensor, "width facts"]
    position: Int[Tensor, " facts"]
    token: Int[Tensor, " facts"]

    @torch.no_grad()
    def fit(self, says: Content) -> None:
        for name in ("prior", "loadings", "position", "token"):
            getattr(self, name).copy_(getattr(says, name))

    def forward(self, estimate: Float[Tensor, "batch width"]) -> Expected:
        probability = (self.prior + estimate @ self.loadings).clamp(0, 1)
        ratio = (probability / self.prior + FLOOR) / (1 + FLOOR)
        return Expected(self._placed(probability - self.prior), self._placed(ratio.log()))

    def _placed(self, values: Float[Tensor, "batch facts"]) -> Float[Tensor, "batch positions vocabulary"]:
        placed = values.new_zeros(len(values), *self.shape)
        placed[:, self.position, self.token] = values
        return placed
