"""A small decoder-only transformer, trained from scratch.

Dimensions: `batch` rows, `positions` tokens, `vocabulary` tokens, `width` of the hidden state.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from inversescope.generator.conditioning import Conditioning, Prepared, Shape
from inversescope.generator.token_bias import BiasTables, Occurrences, PreparedBias, TokenBias

KeyAndValue = tuple[Tensor, Tensor]  # each [batch, heads, positions, head width]


@dataclass
class Cache:
    """State of incremental decoding: number of tokens so far, their occurrences, keys and values of each block."""

    start: int = 0
    occurrences: Occurrences | None = None
    past: dict[int, KeyAndValue] = field(default_factory=dict)


class Block(nn.Module):
    """Attention and MLP (squared ReLU) without biases; the caller normalises their inputs and adds their outputs."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.read = nn.Linear(width, 3 * width, bias=False)
        self.write = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def attend(self, hidden: Tensor, past: dict[int, KeyAndValue] | None, layer: int, slot: KeyAndValue | None):
        """Causal attention to the past, to `hidden` and to a slot; adds the keys and values of `hidden` to the past."""
        batch, positions, width = hidden.shape
        query, key, value = self.read(hidden).view(batch, positions, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if past is not None:
            if layer in past:
                key, value = _join(past[layer], (key, value))
            past[layer] = key, value
        mask, causal = None, positions > 1
        if slot is not None:
            key, value = _join(slot, (key, value))
            if causal:  # every position attends to the slot
                mask, causal = hidden.new_ones(positions, positions + 1, dtype=torch.bool).tril(1), False
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal)
        return self.write(mixed.transpose(1, 2).reshape(batch, positions, width))

    def transform(self, hidden: Tensor) -> Tensor:
        """The MLP."""
        return self.down(F.relu(self.up(hidden)).square())


class Decoder(nn.Module):
    """Pre-norm transformer of `layers` blocks over the prior's vocabulary; its layer norms have no parameters.

    Rows are padded at the end, so attention needs no mask. `token_bias` is None where the encoder estimates no
    components.
    """

    def __init__(self, vocabulary: int, positions: int, width: int, layers: int, heads: int, token_bias: bool):
        super().__init__()
        self.shape = Shape(width, layers, heads)
        self.token = nn.Embedding(vocabulary, width)
        self.position = nn.Embedding(positions, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.token_bias = TokenBias(width) if token_bias else None
        self.head = nn.Linear(width, vocabulary)
        for embedding in (self.token, self.position):
            nn.init.normal_(embedding.weight, std=0.5)

    @property
    def embeddings(self) -> Float[Tensor, "vocabulary width"]:
        """Token embeddings; the boundary's is the first."""
        return self.token.weight

    def prepare_bias(self, tables: BiasTables | None) -> PreparedBias | None:
        """The token bias of a condition, computed once before the first token."""
        return None if tables is None or self.token_bias is None else self.token_bias.prepare(tables, self.embeddings)

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
        hidden = self.token(tokens) + self.position.weight[start : start + positions]
        if bias is not None and self.token_bias is not None:
            hidden = hidden + self.token_bias.embed(bias, tokens, start)
        logits = self._run(hidden, conditioning, prepared, cache)
        if bias is not None and self.token_bias is not None:
            before = None if cache is None else cache.occurrences
            occurrences = Occurrences.of(tokens, len(self.embeddings), start, before)
            logits = logits + self.token_bias.logits(bias, occurrences, start)
            if cache is not None:
                cache.occurrences = occurrences
        if cache is not None:
            cache.start += positions
        return logits

    def _run(
        self,
        hidden: Float[Tensor, "batch positions width"],
        conditioning: Conditioning,
        prepared: Prepared,
        cache: Cache | None,
    ) -> Float[Tensor, "batch positions vocabulary"]:
        assert cache is None or cache.start == 0 or hidden.shape[1] == 1
        past = None if cache is None else cache.past
        for layer, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            attention, mlp = 2 * layer, 2 * layer + 1
            read = conditioning.sublayer_input(prepared, attention, _normalised(hidden))
            mixed = block.attend(read, past, layer, conditioning.slot(prepared, layer))
            hidden = hidden + conditioning.sublayer_output(prepared, attention, mixed)
            read = conditioning.sublayer_input(prepared, mlp, _normalised(hidden))
            hidden = hidden + conditioning.sublayer_output(prepared, mlp, block.transform(read))
        return self.head(conditioning.sublayer_input(prepared, 2 * len(self.blocks), _normalised(hidden)))

    def hidden_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters between hidden states; Muon trains the matrices among them."""
        return self.blocks.parameters()


def _normalised(hidden: Tensor) -> Tensor:
    return F.layer_norm(hidden, hidden.shape[-1:])


def _join(first: KeyAndValue, then: KeyAndValue) -> KeyAndValue:
    return torch.cat((first[0], then[0]), dim=2), torch.cat((first[1], then[1]), dim=2)
