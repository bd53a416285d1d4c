"""Interface of a backbone: next-token logits over the prior's vocabulary, under a condition.

Dimensions: `batch` rows, `positions` tokens, `vocabulary` tokens, `width` of the hidden state, `embeddings` of the
tokens and of the prefix that a conditioning puts before them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from inversescope.generator.conditioning import Conditioning, Prepared, Shape
from inversescope.generator.token_bias import BiasTables, Occurrences, PreparedBias, TokenBias


@dataclass
class Cache:
    """State of incremental decoding: number of tokens so far, their occurrences, and the backbone's keys and values."""

    start: int = 0
    occurrences: Occurrences | None = None
    past: Any = None


class Backbone(nn.Module):
    """A causal language model over the prior's vocabulary. Rows are padded at the end, so attention needs no mask.

    `token_bias` is None where the encoder estimates no components.
    """

    token_bias: TokenBias | None
    shape: Shape

    @property
    def embeddings(self) -> Float[Tensor, "vocabulary width"]:
        """Token embeddings; the boundary's is the first."""
        raise NotImplementedError

    def embed(self, tokens: Int[Tensor, "batch positions"], start: int) -> Float[Tensor, "batch positions width"]:
        """Embeddings of tokens at the positions from `start` on."""
        raise NotImplementedError

    def run(
        self,
        hidden: Float[Tensor, "batch embeddings width"],
        begin: int,
        conditioning: Conditioning,
        prepared: Prepared,
        cache: Cache | None,
    ) -> Float[Tensor, "batch embeddings vocabulary"]:
        """Logits after each embedding; `begin` earlier embeddings are in the cache."""
        raise NotImplementedError

    def hidden_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters between hidden states; Muon trains the matrices among them."""
        return ()

    def prepare_bias(self, tables: BiasTables | None) -> PreparedBias | None:
        """The token bias of a condition, computed once before the first token."""
        return None if tables is None or self.token_bias is None else self.token_bias.prepare(tables, self.embeddings)

    def set_trainable(self, trainable: bool) -> None:
        """Train the backbone, or freeze it; the token bias is no part of it."""
        for name, weight in self.named_parameters():
            if not name.startswith("token_bias."):
                weight.requires_grad_(trainable)

    def forward(
        self,
        tokens: Int[Tensor, "batch positions"],
        bias: PreparedBias | None,
        conditioning: Conditioning,
        prepared: Prepared,
        cache: Cache | None = None,
    ) -> Float[Tensor, "batch positions vocabulary"]:
        """Logits after each token; with a cache, `tokens` continue its tokens, and are added to it."""
        start, positions = 0 if cache is None else cache.start, tokens.shape[1]
        hidden = self.embed(tokens, start)
        if bias is not None and self.token_bias is not None:
            hidden = hidden + self.token_bias.embed(bias, tokens, start)
        begin = start + conditioning.prefix_length if start else 0
        prefix = None if start else conditioning.prefix(prepared)
        if prefix is not None:
            hidden = torch.cat((prefix, hidden), dim=1)
        logits = self.run(hidden, begin, conditioning, prepared, cache)[:, -positions:]
        if bias is not None and self.token_bias is not None:
            before = None if cache is None else cache.occurrences
            occurrences = Occurrences.of(tokens, len(self.embeddings), start, before)
            logits = logits + self.token_bias.logits(bias, occurrences, start)
            if cache is not None:
                cache.occurrences = occurrences
        if cache is not None:
            cache.start += positions
        return logits
