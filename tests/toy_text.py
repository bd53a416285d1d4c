"""Natural text small enough to enumerate: four tokens, inputs of four, a backward proposal that is off, and a pool."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from inversescope.natural_text.posterior import EnumerablePosterior

TOKENS, LENGTH = 4, 4


class TableText(EnumerablePosterior):
    """The same posterior, looked up for many inputs at once: token by token in base four."""

    def score(self, tokens: Tensor, same_before: int = 0):
        self.calls += len(tokens)
        return self.listed(self.place(tokens))

    def listed(self, place: Tensor):
        from inversescope.natural_text.posterior import Scored

        return Scored(self.log_p[place], self.distance[place])

    @staticmethod
    def place(tokens: Tensor) -> Tensor:
        place = torch.zeros(len(tokens), dtype=torch.long)
        for column in tokens.T:
            place = place * TOKENS + column
        return place

    def next_log_probs(self, tokens: Tensor) -> Tensor:
        t = tokens.shape[1]
        mass = self.log_p.exp().reshape(TOKENS**t, TOKENS, -1).sum(2)
        return (mass / mass.sum(1, keepdim=True)).log()[self.place(tokens)]


def posterior_of(seed: int = 0) -> TableText:
    """All 256 inputs; the distance depends on the last token most, on the first least, and not additively."""
    random = torch.Generator().manual_seed(seed)
    inputs = torch.tensor(list(itertools.product(range(TOKENS), repeat=LENGTH)))
    log_p = torch.zeros(len(inputs), dtype=torch.float64)
    z = torch.zeros(len(inputs), 6)
    for t in range(1, LENGTH + 1):
        rows = TableText.place(inputs[:, :t])
        log_p += torch.randn(TOKENS**t, generator=random).double()[rows]
        z += 0.6 ** (t - 1) * torch.randn(TOKENS**t, 6, generator=random)[TableText.place(inputs[:, LENGTH - t :])]
    distance = (z - z[141]).pow(2).mean(1).sqrt()
    return TableText(inputs, log_p, distance, TOKENS)


class TableProposal:
    """Backward proposal by table: each token given the one after it."""

    def __init__(self, seed: int = 1):
        random = torch.Generator().manual_seed(seed)
        self.table = torch.randn(TOKENS + 1, TOKENS, generator=random).double().log_softmax(-1)
        self.log_unigram = torch.randn(TOKENS, generator=random).double().log_softmax(-1)

    def log_probs(self, after: Tensor) -> Tensor:
        next_token = after[:, 0] if after.shape[1] else torch.full((len(after),), TOKENS)
        return self.table[next_token]


class Pool:
    """Draws from the prior."""

    def __init__(self, posterior: TableText, size: int, random: torch.Generator):
        rows = torch.multinomial(posterior.log_p.exp(), size, replacement=True, generator=random)
        self.posterior, self.tokens = posterior, posterior.inputs[rows]
        self.token_log_p = posterior.token_log_probs(posterior.inputs)[rows]
        self.distance = posterior.distance[rows]

    def log_next(self, kept: int, token: Tensor, rows: Tensor | None = None) -> Tensor:
        rows = torch.arange(len(self.tokens)).repeat(len(token), 1) if rows is None else rows
        n, k = rows.shape
        log_probs = self.posterior.next_log_probs(self.tokens[rows.reshape(-1), :kept]).reshape(n, k, TOKENS)
        return log_probs.gather(2, token[:, None, None].expand(n, k, 1))[..., 0]


def two_phases() -> TableText:
    """Inputs of the first two tokens, inputs of the last two, hardly any between; one half is nearer than the other."""
    posterior = posterior_of()
    high = (posterior.inputs >= TOKENS // 2).sum(1)
    mixed = (high > 0) & (high < LENGTH)
    distance = torch.where(high > 0, 0.5, 1.0) + 0.02 * torch.arange(len(high)) / len(high)
    return TableText(posterior.inputs, torch.where(mixed, -40.0, 0.0).double(), distance, TOKENS)
