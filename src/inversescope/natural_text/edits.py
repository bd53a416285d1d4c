"""Edits of inputs that a search has found: another token, another beginning, beginning and end of different inputs.

Several of each input, all different. Dimensions: `s` inputs, `t` tokens of each, `n` edits of all of them together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inversescope.natural_text.posterior import Posterior
from inversescope.natural_text.proposals import BackwardProposal, Beginnings


class Edited(NamedTuple):
    """Edits of some inputs.

    Attributes:
        tokens: of each edit.
        same_before: number of first tokens of each that begin one of the inputs, or a draw of the pool.
    """

    tokens: Int[Tensor, "n t"]
    same_before: int


Edit = Callable[[Int[Tensor, "s t"], int, torch.Generator], Edited]


def one_token(posterior: Posterior, end: BackwardProposal) -> Edit:
    """Another token at one place, by the prior given those before it and by the proposal given those after it."""

    def edit(inputs: Int[Tensor, "s t"], count: int, random: torch.Generator) -> Edited:
        place = int(torch.randint(inputs.shape[1], (), generator=random))
        after = end.log_probs(inputs[:, place + 1 :]) - end.log_unigram
        likely = (posterior.next_log_probs(inputs[:, :place]) + after).log_softmax(-1)
        likely = likely.scatter(1, inputs[:, place : place + 1], -torch.inf)
        chosen = _different(likely, count, random)
        tokens = inputs.repeat_interleave(chosen.shape[1], 0)
        tokens[:, place] = chosen.flatten()
        return Edited(tokens, place)

    return edit


def other_beginning(pool: Beginnings) -> Edit:
    """The beginning of a draw of the pool that leads to the end, which stays. Inputs are as long as the draws."""

    def edit(inputs: Int[Tensor, "s t"], count: int, random: torch.Generator) -> Edited:
        kept = int(torch.randint(1, inputs.shape[1], (), generator=random))
        chosen = _different(pool.log_next(kept, inputs[:, kept]), count, random)
        tokens = inputs.repeat_interleave(chosen.shape[1], 0)
        tokens[:, :kept] = pool.tokens[chosen.flatten(), :kept]
        return Edited(tokens, kept)

    return edit


def splice(inputs: Int[Tensor, "s t"], count: int, random: torch.Generator) -> Edited:
    """The beginnings of some inputs before the ends of others."""
    if inputs.shape[1] < 2:
        return Edited(inputs[:0], 0)
    kept = int(torch.randint(1, inputs.shape[1], (), generator=random))
    others = torch.randint(len(inputs), (len(inputs) * count,), generator=random)
    ends = inputs.repeat_interleave(count, 0)[:, kept:]
    return Edited(torch.cat([inputs[others, :kept], ends], 1), kept)


def _different(log_probs: Float[Tensor, "s v"], count: int, random: torch.Generator) -> Int[Tensor, "s k"]:
    """Places of each row drawn by probability, none twice (Gumbel's maximum)."""
    noise = -torch.empty(log_probs.shape).exponential_(generator=random).log()
    return (log_probs + noise).topk(min(count, log_probs.shape[1]), dim=1).indices
