"""Indicator features of an input and their principal components.

The encoder "regression" estimates the components from an activation; the loadings turn the estimate into a probability
for each indicator.

Dimensions: `n` inputs, `positions` of a row of the vocabulary, `width` components, `indicators` of one kind.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inversescope.generator.indicators import Indicators
from inversescope.generator.vocabulary import BOUNDARY

NEGLIGIBLE = 1e-3  # singular values below this share of the largest are dropped


@dataclass(frozen=True)
class IndicatorTable:
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
    tokens: IndicatorTable
    repeats: IndicatorTable
    counts: IndicatorTable

    @classmethod
    def of(cls, inputs: Int[Tensor, "n positions"], width: int) -> InputPCA:
        """Fit `width` components to inputs, given as rows of the vocabulary."""
        indicators = Indicators.of(inputs)
        features = indicators.matrix(inputs)
        prior = features.mean(0)
        features -= prior
        rank = min(width, *features.shape)
        with torch.random.fork_rng(devices=[]):  # svd_lowrank draws its test matrix from torch's global generator
            torch.manual_seed(0)
            left, singular, right = torch.svd_lowrank(features, q=rank, niter=4)
        large = singular > singular[0] * NEGLIGIBLE
        components, loadings = torch.zeros(len(inputs), width), torch.zeros(width, features.shape[1])
        components[:, : int(large.sum())] = left[:, large] * len(inputs) ** 0.5
        loadings[: int(large.sum())] = (right * singular)[:, large].T / len(inputs) ** 0.5

        def table(kind: int, columns: int) -> IndicatorTable:
            chosen, row, column = indicators.of_kind(kind, columns)
            return IndicatorTable(prior[chosen], loadings[:, chosen], row, column)

        vocabulary, positions = indicators.vocabulary, inputs.shape[1]
        tables = table(0, vocabulary), table(1, positions + 1), table(2, vocabulary)
        return cls(inputs.clamp_min(BOUNDARY), components, *tables)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Number of indicators of each kind."""
        return len(self.tokens), len(self.repeats), len(self.counts)
