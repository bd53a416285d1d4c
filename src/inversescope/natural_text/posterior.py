"""The posterior that a sampler of natural text draws from: ln P(x) and δ of inputs of one length, for one target.

Tokens are those of the input alone: neither the subject's prefix nor an opening is among them. Dimensions: `n` inputs,
`t` their tokens, `m` every input of a prior that can be enumerated, `v` the vocabulary.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Scored(NamedTuple):
    """ln P(x) of inputs under the prior, and their distances δ from the target; −inf and inf outside of the prior."""

    log_p: Float[Tensor, " n"]
    distance: Float[Tensor, " n"]


def log_density(scored: Scored, bandwidth: float) -> Float[Tensor, " n"]:
    """ln of P(x) k(δ/h) with the Gaussian kernel, not normalised: ln P(x) − δ²/2h²."""
    return scored.log_p - scored.distance**2 / (2 * bandwidth**2)


@runtime_checkable
class Posterior(Protocol):
    """One question: the inputs of one length that produce one activation. Not normalised, and the same for every
    bandwidth (`log_density`).
    """

    @property
    def length(self) -> int:
        """Number of tokens of every input."""
        ...

    def score(self, tokens: Int[Tensor, "n t"], same_before: int = 0) -> Scored:
        """ln P(x) and δ of whole inputs, from one pass of the subject.

        The first `same_before` tokens of each row begin a row that was scored before (of the pool, or by an earlier
        call), in any place of that call. It decides what is computed, never the result.
        """
        ...

    def next_log_probs(self, tokens: Int[Tensor, "n t"]) -> Float[Tensor, "n v"]:
        """ln P of every token behind beginnings of t tokens, t from 0 to `length` − 1."""
        ...

    def token_log_probs(self, tokens: Int[Tensor, "n t"]) -> Float[Tensor, "n t"]:
        """ln P of each token behind those before it; the rows begin rows that were scored before."""
        ...


@runtime_checkable
class EndProposal(Protocol):
    """Proposal for the last tokens of an input, made for one target. Its density is fixed and known."""

    def draw(self, n: int, tokens: int, rng: torch.Generator) -> tuple[Int[Tensor, "n tokens"], Float[Tensor, " n"]]:
        """Draws of the last `tokens` tokens, and ln g of each."""
        ...

    def log_prob(self, ends: Int[Tensor, "n tokens"]) -> Float[Tensor, " n"]:
        """ln g of given ends; finite wherever the prior has mass."""
        ...


class EnumerablePosterior:
    """A posterior whose inputs are all listed, with their probabilities and distances: the truth for tests.

    Attributes:
        inputs: every input, each once.
        log_p: ln P of each, normalised here.
        distance: δ of each.
        vocabulary: number of tokens that there are.
        calls: number of inputs that `score` has looked up, as a reader would have read them.
    """

    def __init__(
        self, inputs: Int[Tensor, "m t"], log_p: Float[Tensor, " m"], distance: Float[Tensor, " m"], vocabulary: int
    ):
        self.inputs = inputs
        self.log_p = log_p.double() - log_p.double().logsumexp(0)
        self.distance = distance.double()
        self.vocabulary = vocabulary
        self.calls = 0
        self._place = {tuple(row): place for place, row in enumerate(inputs.tolist())}
        self._next: dict[tuple[int, ...], Float[Tensor, " v"]] = {}

    @property
    def length(self) -> int:
        """Number of tokens of every input."""
        return self.inputs.shape[1]

    def score(self, tokens: Int[Tensor, "n t"], same_before: int = 0) -> Scored:
        """ln P(x) and δ of inputs, by table."""
        self.calls += len(tokens)
        place = torch.tensor([self._place.get(tuple(row), -1) for row in tokens.tolist()], dtype=torch.long)
        known = place >= 0
        return Scored(
            self.log_p[place].where(known, torch.tensor(-math.inf, dtype=torch.float64)),
            self.distance[place].where(known, torch.tensor(math.inf, dtype=torch.float64)),
        )

    def next_log_probs(self, tokens: Int[Tensor, "n t"]) -> Float[Tensor, "n v"]:
        """ln P of every token behind beginnings; −inf everywhere behind one that does not occur."""
        return torch.stack([self._continuations(tuple(row)) for row in tokens.tolist()])

    def token_log_probs(self, tokens: Int[Tensor, "n t"]) -> Float[Tensor, "n t"]:
        """ln P of each token behind those before it."""
        each = [self.next_log_probs(tokens[:, :place]) for place in range(tokens.shape[1])]
        return torch.stack([e.gather(1, tokens[:, p : p + 1])[:, 0] for p, e in enumerate(each)], 1)

    def exact(self, bandwidth: float) -> Float[Tensor, " m"]:
        """P(x; ẑ, s, h) of every input."""
        return (self.log_p - self.distance**2 / (2 * bandwidth**2)).softmax(0)

    def log_normaliser(self, bandwidth: float) -> float:
        """ln Z, with Z = Σ P(x) k(δ/h)."""
        return float((self.log_p - self.distance**2 / (2 * bandwidth**2)).logsumexp(0))

    def _continuations(self, beginning: tuple[int, ...]) -> Float[Tensor, " v"]:
        if beginning not in self._next:
            t = len(beginning)
            begins = (self.inputs[:, :t] == torch.tensor(beginning, dtype=self.inputs.dtype)).all(1)
            mass = torch.zeros(self.vocabulary, dtype=torch.float64)
            mass.index_add_(0, self.inputs[begins, t], self.log_p[begins].exp())
            self._next[beginning] = (mass / mass.sum().clamp_min(torch.finfo(torch.float64).tiny)).log()
        return self._next[beginning]
