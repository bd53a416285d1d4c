"""A small decoder-only transformer, from scratch, whose sublayers a conditioning enters.

Dimensions: `batch` rows, `positions` tokens, `vocabulary` tokens, `width` of the hidden state.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from inversescope.generator.conditioning import Conditioning
from inversescope.generator.expectation import Expected, Written

# How much the logits of a position start out with of what is expected of a token: as itself, as the repetition that it
# would be, as occurring once more. The last says again, more vaguely, what the first says.
GAINS = (1.0, 1.0, 0.25)


class Cache:
    """Keys and values of the tokens written so far, for every layer, and what these tokens are."""

    def __init__(self, layers: int):
        self.written: Written | None = None
        self.keys: list[Tensor | None] = [None] * layers
        self.values: list[Tensor | None] = [None] * layers

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        past_key, past_value = self.keys[layer], self.values[layer]
        if past_key is not None and past_value is not None:
            key, value = torch.cat((past_key, key), dim=2), torch.cat((past_value, value), dim=2)
        self.keys[layer], self.values[layer] = key, value
        return key, value


class Block(nn.Module):
    """Attention, then MLP; the norms before them are the conditioning's."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.read = nn.Linear(width, 3 * width, bias=False)
        self.write = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def attend(self, hidden: Tensor, cache: Cache | None, layer: int) -> Tensor:
        batch, positions, width = hidden.shape
        query, key, value = self.read(hidden).view(batch, positions, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if cache is not None:
            key, value = cache.extend(layer, key, value)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=positions > 1)
        return self.write(mixed.transpose(1, 2).reshape(batch, positions, width))

    def transform(self, hidden: Tensor) -> Tensor:
        return self.down(F.relu(self.up(hidden)).square())


class Decoder(nn.Module):
    """Next-token logits of the inputs of a prior. Rows are padded at the end, so causal attention needs no mask.

    What is expected at a position enters as the mean embedding of the tokens expected there and next, as how much the
    token written there was expected, and in the logits themselves: as which tokens are expected next, and which
    repetitions. So the decoder need not learn token by token what an estimate says, but how positions hang together.
    """

    def __init__(self, vocabulary: int, positions: int, width: int, layers: int, heads: int):
        super().__init__()
        self.token = nn.Embedding(vocabulary, width)
        self.position = nn.Embedding(positions, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.here = nn.Linear(width, width, bias=False)
        self.ahead = nn.Linear(width, width, bias=False)
        self.surprise = nn.Parameter(torch.zeros(width))
        self.head = nn.Linear(width, vocabulary)
        self.gain = nn.Parameter(torch.tensor(GAINS)[:, None, None].repeat(1, positions, 1))
        for embedding in (self.token, self.position):
            nn.init.normal_(embedding.weight, std=0.5)

    @property
    def sublayers(self) -> int:
        """Two a block, and the head."""
        return 2 * len(self.blocks) + 1

    def forward(
        self,
        tokens: Int[Tensor, "batch positions"],
        expected: Expected,
        conditioning: Conditioning,
        prepared: list[Tensor],
        cache: Cache | None = None,
        start: int = 0,
    ) -> Float[Tensor, "batch positions vocabulary"]:
        """Logits after each token; with a cache, `tokens` continue at position `start` what the cache holds."""
        end = start + tokens.shape[1]
        mean = expected.excess[:, start : end + 1] @ self.token.weight
        surprise = expected.token[:, start:end].gather(2, tokens[:, :, None]) * self.surprise
        hidden = self.token(tokens) + self.position.weight[start:end] + surprise
        hidden = hidden + self.here(mean[:, :-1]) + self.ahead(mean[:, 1:])
        for layer, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            attention, mlp = prepared[2 * layer], prepared[2 * layer + 1]
            mixed = block.attend(conditioning.enter(attention, hidden), cache, layer)
            hidden = hidden + conditioning.leave(attention, mixed)
            hidden = hidden + conditioning.leave(mlp, block.transform(conditioning.enter(mlp, hidden)))
        logits = self.head(conditioning.enter(prepared[-1], hidden))
        written = Written.of(tokens, len(self.token.weight), start, None if cache is None else cache.written)
        if cache is not None:
            cache.written = written
        said = expected.next(written, start + 1)
        return logits + sum(gain * part for gain, part in zip(self.gain[:, start:end], said, strict=True))
