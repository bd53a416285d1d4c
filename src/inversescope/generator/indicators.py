"""Indicators of an input, as a matrix of zeros and ones: tokens at positions, repeats, counts.

Dimensions: `n` inputs, `positions` of a row of the vocabulary, `columns` indicators.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from inversescope.generator.vocabulary import BOUNDARY

MAX_INDICATORS = 4096  # the most frequent are kept; bounds memory for long and varied inputs


@dataclass(frozen=True)
class Indicators:
    """The most frequent indicators of some inputs, by number, in three kinds:

    `tokens`: a token stands at a position;
    `repeats`: the token at a position stood at an earlier one (the latest such; one indicator says that there is none);
    `counts`: a token occurs at all, or more than once.

    An activation may determine the last two without the first: "the second name is a repetition", "Mary occurs".
    """

    number: Int[Tensor, " columns"]
    starts: tuple[int, int, int, int]  # where the numbers of each kind start, and the last ends
    vocabulary: int

    @classmethod
    def of(cls, inputs: Int[Tensor, "n positions"]) -> Indicators:
        """Indicators of inputs, given as rows of the vocabulary."""
        vocabulary = int(inputs.max()) + 1
        numbers, starts = _active(inputs.clamp_min(BOUNDARY), vocabulary)
        distinct, counts = numbers.unique(return_counts=True)
        kept = counts.argsort(descending=True, stable=True)[:MAX_INDICATORS]
        return cls(distinct[kept], starts, vocabulary)

    def matrix(self, inputs: Int[Tensor, "n positions"]) -> Float[Tensor, "n columns"]:
        """1 where an input has the indicator; an indicator that is not kept has no column."""
        numbers, _ = _active(inputs.clamp_min(BOUNDARY), self.vocabulary)
        order = self.number.argsort()
        place = torch.searchsorted(self.number[order], numbers).clamp_max(len(order) - 1)
        column = order[place].where(self.number[order[place]] == numbers, len(order))
        matrix = torch.zeros(len(inputs), len(order) + 1, device=inputs.device)
        return matrix.scatter_(1, column, 1.0)[:, :-1]

    def to(self, device: torch.device) -> Indicators:
        """Copy on another device."""
        return Indicators(self.number.to(device), self.starts, self.vocabulary)

    def of_kind(self, kind: int, columns: int) -> tuple[Bool[Tensor, " columns"], Int[Tensor, " _"], Int[Tensor, " _"]]:
        """Mask of the indicators of one kind, and their cells (row, column) in a table of so many columns."""
        chosen = (self.number >= self.starts[kind]) & (self.number < self.starts[kind + 1])
        cell = self.number[chosen] - self.starts[kind]
        return chosen, cell // columns, cell % columns


def _active(
    inputs: Int[Tensor, "n positions"], vocabulary: int
) -> tuple[Int[Tensor, "n active"], tuple[int, int, int, int]]:
    """Numbers of the indicators that are 1 in each input; where the numbers of each kind start, and the last ends."""
    positions = inputs.shape[1]
    position = torch.arange(positions, device=inputs.device)
    starts = (0, vocabulary * positions, (vocabulary + positions + 1) * positions)
    is_token = inputs != BOUNDARY
    same: Bool[Tensor, "n positions positions"] = (inputs[:, :, None] == inputs[:, None, :]) & is_token[:, :, None]
    earlier = same & (position[None, :] < position[:, None])
    latest = torch.where(earlier, position + 1, 0).amax(2)  # 0: no repetition
    repeated = torch.where(same.sum(2) > 1, inputs, BOUNDARY)
    numbers = (
        starts[0] + inputs + vocabulary * position,
        starts[1] + latest + (positions + 1) * position,
        starts[2] + inputs,
        starts[2] + vocabulary + repeated,
    )
    return torch.cat(numbers, dim=1), (*starts, starts[2] + 2 * vocabulary)
