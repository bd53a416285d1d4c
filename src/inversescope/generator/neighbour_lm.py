"""Known inputs as witnesses: draws from the posterior over them, heard word by word as long as they agree.

An estimate of the content says how likely each fact is, but not which facts go together. Where few inputs could have
produced an activation, a handful of witnesses says that too.

Dimensions: `batch` rows, `witnesses` of each, `columns` tokens, `vocabulary` tokens, `known` inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

WITNESSES = 512  # of each condition: more say more where hundreds of inputs are likely, and cost little


@dataclass(frozen=True)
class Witnesses:
    """The witnesses of some conditions, how much one of them counts, and which condition each row belongs to."""

    inputs: Int[Tensor, "conditions witnesses positions"]  # rows of the vocabulary, padded with the boundary
    reliance: Float[Tensor, " conditions"]  # ln of what one that agrees counts, where the backbone counts 1
    which: Int[Tensor, " batch"]

    def of(self, which: Int[Tensor, " rows"]) -> Witnesses:
        """The same for other rows, each of which belongs to one of the batch."""
        return Witnesses(self.inputs, self.reliance, self.which[which])

    def agree(
        self,
        tokens: Int[Tensor, "batch columns"],
        start: int = 0,
        before: Bool[Tensor, "batch witnesses"] | None = None,
    ) -> Bool[Tensor, "batch witnesses columns"]:
        """Which witnesses begin with what is written up to each column; `tokens` stand at the positions from `start`
        on, after what `before` agrees with.
        """
        same = self.inputs[:, :, start : start + tokens.shape[1]][self.which] == tokens[:, None]
        agree = same if tokens.shape[1] == 1 else same.cumprod(2).bool()
        return agree if before is None else agree & before[:, :, None]

    def heard(
        self,
        log_q: Float[Tensor, "batch columns vocabulary"],
        agree: Bool[Tensor, "batch witnesses columns"],
        start: int = 0,
    ) -> Float[Tensor, "batch columns vocabulary"]:
        """ln of the probability of the next tokens, when those that agree say how they go on.

        The backbone's is the base measure of a Dirichlet prior, the witnesses the counts that are added to it (MacKay
        and Peto 1995): nothing but the backbone is left where none agrees.
        """
        following = self.inputs[:, :, start + 1 : start + 1 + log_q.shape[1]][self.which].transpose(1, 2)
        said = torch.zeros_like(log_q).scatter_add_(2, following, agree.transpose(1, 2).to(log_q))
        reliance = self.reliance[self.which, None, None]
        number = agree.sum(1)[:, :, None].to(log_q)
        return torch.logaddexp(log_q, reliance + said.log()) - torch.log1p(reliance.exp() * number)


def summoned(weights: Float[Tensor, "batch known"]) -> Int[Tensor, "batch witnesses"]:
    """The places of the witnesses among the known inputs: evenly spaced over the cumulated weights."""
    steps = (torch.arange(WITNESSES, device=weights.device) + 0.5) / WITNESSES
    cumulated = weights.cumsum(1)
    places = torch.searchsorted(cumulated, steps.expand(len(weights), -1) * cumulated[:, -1:])
    return places.clamp_max(weights.shape[1] - 1)
