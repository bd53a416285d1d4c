"""Proposals from which moves, sequential Monte Carlo and searches draw: ends of an input, and beginnings from a pool.

Dimensions: `n` inputs, `t` tokens of each, `k` choices for each.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor


@runtime_checkable
class BackwardProposal(Protocol):
    """Distribution of the tokens at the end of an input, written from right to left, made for one target.

    Attributes:
        log_unigram: ln of each token's probability anywhere in a text.
    """

    log_unigram: Float[Tensor, " vocabulary"]

    def log_probs(self, after: Int[Tensor, "n t"]) -> Float[Tensor, "n vocabulary"]:
        """ln g of the token that stands before these last `t` tokens of an input; of its last token where t is 0."""
        ...


@runtime_checkable
class Beginnings(Protocol):
    """Draws from the prior, whose beginnings are put before other ends.

    Attributes:
        tokens: of each draw.
        token_log_p: ln P of each of its tokens after those before it.
        distance: from the target's activation, of the whole draw.
    """

    tokens: Int[Tensor, "pool length"]
    token_log_p: Float[Tensor, "pool length"]
    distance: Float[Tensor, " pool"]

    def log_next(
        self, kept: int, token: Int[Tensor, " n"], rows: Int[Tensor, "n k"] | None = None
    ) -> Float[Tensor, "n k"]:
        """ln P of one token for each of `n` inputs after the first `kept` tokens of `k` draws, or of the whole pool."""
        ...


class End(NamedTuple):
    """Last tokens of inputs, and ln g of drawing them."""

    tokens: Int[Tensor, "n t"]
    log_g: Float[Tensor, " n"]


def sample(logits: Float[Tensor, "n k"], random: torch.Generator) -> Int[Tensor, " n"]:
    """One place of each row, drawn with probability proportional to exp(logits); any place where all are −inf."""
    chance = logits.softmax(-1)
    return torch.multinomial(chance.where(chance.isfinite(), 1.0), 1, generator=random)[:, 0]


def picked(values: Shaped[Tensor, "n k"], place: Int[Tensor, " n"]) -> Shaped[Tensor, " n"]:
    """The value at one place of each row."""
    return values.gather(1, place[:, None])[:, 0]


def draw_end(proposal: BackwardProposal, after: Int[Tensor, "n t"], count: int, random: torch.Generator) -> End:
    """`count` more tokens before the given ones, from right to left."""
    tokens, log_g = after, torch.zeros(len(after))
    for _ in range(count):
        log_probs = proposal.log_probs(tokens)
        token = sample(log_probs, random)
        log_g = log_g + picked(log_probs, token)
        tokens = torch.cat([token[:, None], tokens], 1)
    return End(tokens, log_g)


def log_end(proposal: BackwardProposal, tokens: Int[Tensor, "n t"], count: int) -> Float[Tensor, " n"]:
    """ln g of the last `count` tokens."""
    total = torch.zeros(len(tokens))
    for place in range(tokens.shape[1] - count, tokens.shape[1]):
        total = total + picked(proposal.log_probs(tokens[:, place + 1 :]), tokens[:, place])
    return total


class Dealer:
    """Deals out a pool's draws at random, each once before any comes up again.

    The moves that use them are exact for draws that are new at every step. A pool that is dealt several times leaves
    a bias of the order of one over its size.
    """

    def __init__(self, size: int, random: torch.Generator) -> None:
        self._size = size
        self._random = random
        self._left = torch.empty(0, dtype=torch.long)

    def deal(self, n: int, k: int) -> Int[Tensor, "n k"]:
        """`k` draws for each of `n` inputs."""
        parts, missing = [], n * k
        while missing > 0:
            if not len(self._left):
                self._left = torch.randperm(self._size, generator=self._random)
            parts.append(self._left[:missing])
            self._left = self._left[missing:]
            missing -= len(parts[-1])
        return torch.cat(parts).reshape(n, k)
