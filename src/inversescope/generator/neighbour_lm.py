"""Nearest stored inputs, mixed in as a language model while their prefix matches.

A nearest-neighbour language model (kNN-LM, Khandelwal et al. 2020, arXiv 1911.00172), except that the neighbours are
those of the target's activation: picked once per condition, not anew at every token. The token bias is made of marginal
probabilities; where few inputs could have produced an activation, the neighbours add which tokens go together.

Dimensions: `batch` rows, `neighbours` of each condition, `columns` tokens, `vocabulary` tokens, `stored` inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

NEIGHBOURS = 512  # per condition: more help where hundreds of inputs are likely, and cost little


@dataclass(frozen=True)
class NeighbourLM:
    """Neighbours of some conditions, and the condition of each row of a batch.

    `log_weight` is the natural logarithm of the weight of one matching neighbour, relative to 1 for the decoder.
    """

    neighbours: Int[Tensor, "conditions neighbours positions"]  # rows of the vocabulary, padded with the boundary
    log_weight: Float[Tensor, " conditions"]
    condition: Int[Tensor, " batch"]

    def select(self, index: Int[Tensor, " rows"]) -> NeighbourLM:
        """The same neighbours for a new batch, whose row i has the condition of row `index[i]` of this one."""
        return NeighbourLM(self.neighbours, self.log_weight, self.condition[index])

    def matches(
        self,
        tokens: Int[Tensor, "batch columns"],
        start: int = 0,
        before: Bool[Tensor, "batch neighbours"] | None = None,
    ) -> Bool[Tensor, "batch neighbours columns"]:
        """True where a neighbour begins with all tokens up to this column.

        `tokens` stand at the positions from `start` on; `before` is the match of the tokens before them.
        """
        same = self.neighbours[:, :, start : start + tokens.shape[1]][self.condition] == tokens[:, None]
        matches = same if tokens.shape[1] == 1 else same.cumprod(2).bool()
        return matches if before is None else matches & before[:, :, None]

    def mix(
        self,
        log_q: Float[Tensor, "batch columns vocabulary"],
        matches: Bool[Tensor, "batch neighbours columns"],
        start: int = 0,
    ) -> Float[Tensor, "batch columns vocabulary"]:
        """ln of the next-token distribution: the decoder's, mixed with the continuations of matching neighbours.

        (q + w·count) / (1 + w·total), w = exp(log_weight): the posterior mean under a Dirichlet prior whose base
        measure is the decoder's q (MacKay and Peto 1995). Without a match it is q.
        """
        following = self.neighbours[:, :, start + 1 : start + 1 + log_q.shape[1]][self.condition].transpose(1, 2)
        count = torch.zeros_like(log_q).scatter_add_(2, following, matches.transpose(1, 2).to(log_q))
        log_weight = self.log_weight[self.condition, None, None]
        total = matches.sum(1)[:, :, None].to(log_q)
        return torch.logaddexp(log_q, log_weight + count.log()) - torch.log1p(log_weight.exp() * total)


def pick(weights: Float[Tensor, "batch stored"]) -> Int[Tensor, "batch neighbours"]:
    """Indices of the neighbours among the stored inputs: a systematic sample, evenly spaced over cumulated weights."""
    steps = (torch.arange(NEIGHBOURS, device=weights.device) + 0.5) / NEIGHBOURS
    cumulated = weights.cumsum(1)
    index = torch.searchsorted(cumulated, steps.expand(len(weights), -1) * cumulated[:, -1:])
    return index.clamp_max(weights.shape[1] - 1)
