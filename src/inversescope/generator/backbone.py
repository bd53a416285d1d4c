"""What a backbone does: next-token logits over the prior's vocabulary, under a condition.

Dimensions: `batch` rows, `positions` tokens, `vocabulary` tokens, `width` of the hidden state, `embeddings` of the
tokens and of what a conditioning puts before them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from inversescope.generator.conditioning import Conditioning, Prepared, Shape
from inversescope.generator.token_bias import Expected, Hinted, Hints, Written


@dataclass
class Cache:
    """How many tokens are written so far, what they are, and the backbone's own keys and values of them."""

    start: int = 0
    written: Written | None = None
    past: Any = None


class Backbone(nn.Module):
    """A decoder over the prior's vocabulary. Rows are padded at the end, so causal attention needs no mask.

    Where the encoder expects something of the tokens, `hints` tell it to the backbone.
    """

    hints: Hints | None
    shape: Shape

    @property
    def embeddings(self) -> Float[Tensor, "vocabulary width"]:
        """Of the tokens; the boundary's comes first."""
        raise NotImplementedError

    def embed(self, tokens: Int[Tensor, "batch positions"], start: int) -> Float[Tensor, "batch positions width"]:
        """Tokens that stand at the positions from `start` on."""
        raise NotImplementedError

    def run(
        self,
        hidden: Float[Tensor, "batch embeddings width"],
        begin: int,
        conditioning: Conditioning,
        prepared: Prepared,
        cache: Cache | None,
    ) -> Float[Tensor, "batch embeddings vocabulary"]:
        """Logits after each embedding; `begin` others came before and are in the cache."""
        raise NotImplementedError

    def inside(self) -> Iterable[nn.Parameter]:
        """The weights inside the network, between hidden states: Muon trains the matrices among them."""
        return ()

    def hint(self, expected: Expected | None) -> Hinted | None:
        """What the backbone makes of what is expected, before any token."""
        return None if expected is None or self.hints is None else self.hints.of(expected, self.embeddings)

    def tune(self, learns: bool) -> None:
        """Let the backbone learn, or freeze it; the hints are no part of it."""
        for name, weight in self.named_parameters():
            if not name.startswith("hints."):
                weight.requires_grad_(learns)

    def forward(
        self,
        tokens: Int[Tensor, "batch positions"],
        hinted: Hinted | None,
        conditioning: Conditioning,
        prepared: Prepared,
        cache: Cache | None = None,
    ) -> Float[Tensor, "batch positions vocabulary"]:
        """Logits after each token; with a cache, `tokens` continue what it holds, and are added to it."""
        start, positions = 0 if cache is None else cache.start, tokens.shape[1]
        hidden = self.embed(tokens, start)
        if hinted is not None and self.hints is not None:
            hidden = hidden + self.hints.embed(hinted, tokens, start)
        begin = start + conditioning.before if start else 0
        prefix = None if start else conditioning.prefix(prepared)
        if prefix is not None:
            hidden = torch.cat((prefix, hidden), dim=1)
        logits = self.run(hidden, begin, conditioning, prepared, cache)[:, -positions:]
        if hinted is not None and self.hints is not None:
            written = Written.of(tokens, len(self.embeddings), start, None if cache is None else cache.written)
            logits = logits + self.hints.next(hinted, written, start)
            if cache is not None:
                cache.written = written
        if cache is not None:
            cache.start += positions
        return logits
