"""What an estimate of the content leads to expect at each position, before anything is written there.

Dimensions: `batch` rows, `positions` of a row, `vocabulary` tokens, `width` of an estimate, `facts` that it speaks of.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from inversescope.generator.content import Content, Facts

# An estimate is never trusted to exclude a token by more than this factor of its prior probability, or a repetition by
# more than this factor.
FLOOR = 0.02


@dataclass(frozen=True)
class Expected:
    """The probability of each token at each position, and of each repetition, according to an estimate."""

    excess: Float[Tensor, "batch positions vocabulary"]  # of a token, over the prior's; 0 where nothing is known
    log_ratio: Float[Tensor, "batch positions vocabulary"]  # ln of a token's over the prior's, at least ln FLOOR
    log_repeat: Float[Tensor, "batch positions sources"]  # ln of: repeats nothing, position 0, 1, …; at least ln FLOOR

    def repeating(
        self, latest: Int[Tensor, "batch columns vocabulary"], start: int
    ) -> Float[Tensor, "batch columns vocabulary"]:
        """ln of the probability of the repetition that each token would be, at the positions from `start` on.

        `latest` is 1 + the latest earlier position of each token, 0 where it does not stand before.
        """
        return self.log_repeat[:, start : start + latest.shape[1]].gather(2, latest)


class _Probability(nn.Module):
    """Reads facts of one kind back from an estimate of the content."""

    def __init__(self, facts: int, width: int):
        super().__init__()
        self.register_buffer("prior", torch.zeros(facts))
        self.register_buffer("loadings", torch.zeros(width, facts))
        for name in ("position", "value"):
            self.register_buffer(name, torch.zeros(facts, dtype=torch.long))

    prior: Float[Tensor, " facts"]
    loadings: Float[Tensor, "width facts"]
    position: Int[Tensor, " facts"]
    value: Int[Tensor, " facts"]

    @torch.no_grad()
    def fit(self, facts: Facts) -> None:
        for name in ("prior", "loadings", "position", "value"):
            getattr(self, name).copy_(getattr(facts, name))

    def forward(self, estimate: Float[Tensor, "batch width"]) -> Float[Tensor, "batch facts"]:
        return (self.prior + estimate @ self.loadings).clamp(0, 1)

    def placed(self, values: Float[Tensor, "batch facts"], shape: tuple[int, int], default: float) -> Tensor:
        """Each fact's value at its place in [batch, *shape], and the default where there is no fact."""
        placed = values.new_full((len(values), *shape), default)
        placed[:, self.position, self.value] = values
        return placed


class Expectation(nn.Module):
    """Reads what stands where, and what is repeated where, back from an estimate of the content."""

    def __init__(self, facts: tuple[int, int], positions: int, vocabulary: int, width: int):
        super().__init__()
        self.positions = positions
        self.vocabulary = vocabulary
        self.tokens, self.repeats = (_Probability(count, width) for count in facts)

    def fit(self, says: Content) -> None:
        self.tokens.fit(says.tokens)
        self.repeats.fit(says.repeats)

    def forward(self, estimate: Float[Tensor, "batch width"]) -> Expected:
        token, prior, repeat = self.tokens(estimate), self.tokens.prior, self.repeats(estimate)
        tokens, sources = (self.positions, self.vocabulary), (self.positions, self.positions + 1)
        return Expected(
            excess=self.tokens.placed(token - prior, tokens, 0),
            log_ratio=self.tokens.placed(((token / prior + FLOOR) / (1 + FLOOR)).log(), tokens, 0),
            log_repeat=self.repeats.placed(repeat, sources, 0).clamp_min(FLOOR).log(),
        )
