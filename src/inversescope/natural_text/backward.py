"""Backward proposals without training: pairs of tokens by the subject, and ends that are read before they are used.

Dimensions: `n` ends, `t` tokens of each, `v` the vocabulary, `k` tokens that are tried.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inversescope.natural_text.budget import Budget
from inversescope.natural_text.proposals import BackwardProposal

READ = 64  # tokens that are read before an end
DEPTH = 3  # tokens of an end up to which those before it are read
UNREAD = 0.1  # share of the proposal that no reading has changed
Fit = Callable[[Int[Tensor, "n t"]], Float[Tensor, " n"]]


class Bigrams:
    """Token before a token, by Bayes: P(w before v) ∝ P(w) P(v after w), with P(v after w) by the subject.

    Attributes:
        log_unigram: ln P of each token anywhere in the prior's text, finite everywhere.
    """

    def __init__(
        self, log_unigram: Float[Tensor, " v"], log_after: Callable[[Int[Tensor, " n"]], Float[Tensor, "n v"]]
    ) -> None:
        """`log_after` gives ln P(v after w) for tokens v and every w."""
        self.log_unigram = log_unigram.log_softmax(-1)
        self._log_after = log_after
        self._known: dict[int, Float[Tensor, " v"]] = {}

    def log_probs(self, after: Int[Tensor, "n t"]) -> Float[Tensor, "n v"]:
        """ln P of the token before the first of `after`; the unigram where there is none."""
        if not after.shape[1]:
            return self.log_unigram.expand(len(after), -1)
        first = after[:, 0].tolist()
        missing = torch.tensor(sorted(set(first) - set(self._known)), dtype=torch.long)
        if len(missing):
            rows = (self.log_unigram + self._log_after(missing)).log_softmax(-1)
            self._known.update(zip(missing.tolist(), rows, strict=True))
        return torch.stack([self._known[token] for token in first])


class Reread:
    """Proposal for one target: the likeliest tokens before an end are read with it, and fit or do not fit the target.

    An end is read once and the reading kept, so the density is fixed and exact. A share of it stays as the base has
    it, so that every token stays possible.

    Attributes:
        log_unigram: the base's.
    """

    def __init__(
        self,
        base: BackwardProposal,
        log_last: Float[Tensor, " v"],
        fit: Fit,
        budget: Budget,
        read: int = READ,
        depth: int = DEPTH,
    ) -> None:
        """`log_last` is ln g of the last token, `fit` ln of the target's likelihood given an end of several tokens."""
        self.log_unigram = base.log_unigram
        self._base, self._fit, self._budget, self._read, self._depth = base, fit, budget, read, depth
        mixed = torch.stack([log_last.log_softmax(-1) + _LOG_READ, base.log_unigram + _LOG_UNREAD])
        self._known: dict[tuple[int, ...], Float[Tensor, " v"]] = {(): mixed.logsumexp(0)}

    def log_probs(self, after: Int[Tensor, "n t"]) -> Float[Tensor, "n v"]:
        """ln g of the token before each end."""
        if after.shape[1] > self._depth:
            return self._base.log_probs(after)
        ends = [tuple(row) for row in after.tolist()]
        missing = sorted(set(ends) - set(self._known))
        if missing:
            self._known.update(zip(missing, self._reread(torch.tensor(missing)), strict=True))
        return torch.stack([self._known[end] for end in ends])

    def _reread(self, ends: Int[Tensor, "n t"]) -> Float[Tensor, "n v"]:
        base = self._base.log_probs(ends)
        likely = base.topk(min(self._read, base.shape[1]), dim=1)
        k = likely.indices.shape[1]
        tokens = torch.cat([likely.indices.reshape(-1, 1), ends.repeat_interleave(k, 0)], 1)
        fit = self._fit(tokens).reshape(-1, k).to(base.dtype)
        self._budget.spend(tokens.numel(), "ends of the proposal")
        # The tokens that are read keep their share of the base's probability and divide it anew.
        read = (likely.values + fit).log_softmax(1) + likely.values.logsumexp(1, keepdim=True)
        fitted = base.scatter(1, likely.indices, read)
        return torch.stack([fitted + _LOG_READ, base + _LOG_UNREAD]).logsumexp(0)


_LOG_READ = float(torch.tensor(1 - UNREAD).log())
_LOG_UNREAD = float(torch.tensor(UNREAD).log())
