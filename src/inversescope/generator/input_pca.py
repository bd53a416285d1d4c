"""Indicator features of an input and their principal components.

The encoder "regression" estimates the components from an activation; the loadings turn the estimate into a probability
for each indicator.

Dimensions: `n` inputs, `positions` of a row of the vocabulary, `width` components, `indicators` of one kind.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from inversescope.generator.vocabulary import BOUNDARY

MAX_INDICATORS = 4096  # the most frequent are kept; bounds memory for long and varied inputs
NEGLIGIBLE = 1e-3  # singular values below this share of the largest are dropped


@dataclass(frozen=True)
class Indicators:
    """Indicators of one kind, as cells (`row`, `column`) of a table; `InputPCA` defines rows and columns.

    `prior` + components @ `loadings` is the linear estimate of the probability that each indicator is 1.
    """

    prior: Float[Tensor, " indicators"]  # share of the inputs whose indicator is 1, above 0
    loadings: Float[Tensor, "width indicators"]
    row: Int[Tensor, " indicators"]
    column: Int[Tensor, " indicators"]

    def __len__(self) -> int:
        return len(self.prior)


@dataclass(frozen=True)
class InputPCA:
    """Principal components of the inputs' indicators, of which there are three kinds:

    `tokens`: a token (column) stands at a position (row);
    `repeats`: the token at a position (row) stood at an earlier one (column: 1 + the latest such, 0 if there is none);
    `counts`: a token (column) occurs at all (row 0), or more than once (row 1).

    An activation may determine the last two without the first: "the second name is a repetition", "Mary occurs".
    """

    inputs: Int[Tensor, "n positions"]  # rows of the vocabulary, padded with the boundary
    components: Float[Tensor, "n width"]  # uncorrelated, of mean 0 and variance 1; 0 beyond the indicators' rank
    tokens: Indicators
    repeats: Indicators
    counts: Indicators

    @classmethod
    def of(cls, inputs: Int[Tensor, "n positions"], width: int) -> InputPCA:
        """Fit `width` components to inputs, given as rows of the vocabulary."""
        vocabulary = int(inputs.max()) + 1
        numbers, starts = _active(inputs.clamp_min(BOUNDARY), vocabulary)
        distinct, index, counts = numbers.unique(return_inverse=True, return_counts=True)
        kept = counts.argsort(descending=True, stable=True)[:MAX_INDICATORS]
        feature = torch.full((len(distinct),), len(kept))  # the last feature collects what is not kept
        feature[kept] = torch.arange(len(kept))
        features = torch.zeros(len(inputs), len(kept) + 1).scatter_(1, feature[index], 1.0)[:, :-1]
        prior = features.mean(0)
        features -= prior
        rank = min(width, *features.shape)
        with torch.random.fork_rng(devices=[]):  # svd_lowrank draws its test matrix from torch's global generator
            torch.manual_seed(0)
            left, singular, right = torch.svd_lowrank(features, q=rank, niter=4)
        large = singular > singular[0] * NEGLIGIBLE
        components, loadings = torch.zeros(len(inputs), width), torch.zeros(width, len(kept))
        components[:, : int(large.sum())] = left[:, large] * len(inputs) ** 0.5
        loadings[: int(large.sum())] = (right * singular)[:, large].T / len(inputs) ** 0.5
        number = distinct[kept]

        def of_kind(kind: int, columns: int) -> Indicators:
            chosen = (number >= starts[kind]) & (number < starts[kind + 1])
            cell = number[chosen] - starts[kind]
            return Indicators(prior[chosen], loadings[:, chosen], cell // columns, cell % columns)

        tokens, repeats, counts = of_kind(0, vocabulary), of_kind(1, inputs.shape[1] + 1), of_kind(2, vocabulary)
        return cls(inputs.clamp_min(BOUNDARY), components, tokens, repeats, counts)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Number of indicators of each kind."""
        return len(self.tokens), len(self.repeats), len(self.counts)


def _active(
    inputs: Int[Tensor, "n positions"], vocabulary: int
) -> tuple[Int[Tensor, "n active"], tuple[int, int, int, int]]:
    """Numbers of the indicators that are 1 in each input; where the numbers of each kind start, and the last ends."""
    positions = inputs.shape[1]
    position = torch.arange(positions)
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
