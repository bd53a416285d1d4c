"""Backward proposal from pairs of tokens: the last token by what it does alone, those before it by the subject's pairs.

Nothing is read for it, so it suits edits and beams, which read whatever they propose. Dimensions: `n` ends, `t` tokens
of each, `v` the vocabulary.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inversescope.natural_text.ends import Backward
from inversescope.natural_text.question import Question

FIT = 0.15  # bandwidth at which the last token is compared with the target
REST = 0.1  # share of the tokens' frequencies, which have every token


class PairsBackward:
    """`proposals.BackwardProposal` of one question.

    Attributes:
        log_unigram: ln of each token's frequency in the pool's text.
    """

    def __init__(self, question: Question, pairs: Backward) -> None:
        data = question.data
        frequency = question.pool.mean_next[: question.length].mean(0).clamp_min(1e-12)
        self.log_unigram: Float[Tensor, " v"] = (frequency / frequency.sum()).log()
        fit = data.last.log_kernel(question.target, data.vocabulary, FIT)[:, 0].cpu()
        self._last = self._with_rest((self.log_unigram + fit).log_softmax(0))
        self._pairs, self._length = pairs, question.length

    def log_probs(self, after: Int[Tensor, "n t"]) -> Float[Tensor, "n v"]:
        """ln g of the token before each end."""
        if not after.shape[1]:
            return self._last.expand(len(after), -1)
        place = max(0, self._length - 1 - after.shape[1])
        distinct, which = after[:, 0].unique(return_inverse=True)
        rows = [self._with_rest(self._pairs.before(token, place)) for token in distinct.tolist()]
        return torch.stack(rows)[which]

    def _with_rest(self, log_probs: Float[Tensor, " v"]) -> Float[Tensor, " v"]:
        parts = [log_probs + math.log(1 - REST), self.log_unigram + math.log(REST)]
        return torch.stack(parts).logsumexp(0)
