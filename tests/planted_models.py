"""A Llama whose weights are set by hand, coordinate by coordinate, so that what each site holds is known, not measured.

Three choices make it plain arithmetic on the residual stream:

- Every norm is the identity, to the last bit: its epsilon is 2⁴⁰ and its weight 2²⁰, so that the mean square of a small
  activation is rounded away.
- The MLP's gate is a ReLU and its other factor a constant: each hidden unit adds max(0, w·x) to what it writes.
- A head without queries and keys attends evenly. One with both looks back through the rotary embedding, whose only
  frequency in use falls monotonically over the longest input.

At the end the stream's basis is turned at random, so that no coordinate of a residual site is a planted one by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from inversescope.subject.loading import quiet

SPECIAL = ["<s>", "</s>", "<unk>"]
CONSTANT = "one"  # a coordinate that is 1 for every token
EPSILON, NORM = 2.0**40, 2.0**20  # NORM / √(EPSILON + x²) = 1 in float32 for every x² below 2¹⁶
HEADS, HEAD_WIDTH, UNITS = 2, 4, 16
THETA = 25.0  # rotary frequencies 1 and 25^(−1/2) = 0.2 a token: cos(0.2 n) falls until n = 15
SHARP = 100.0  # of a query and of a key
CLEAR = 8.0  # a coordinate that is 1 gives a word all but e^−8 of the odds against one of logit 0

Weights = Mapping[str, float]  # by the name of a coordinate


class Handmade:
    """A model in the making: what is not set is zero. `words` are its tokens, behind the special ones."""

    def __init__(self, words: Sequence[str], coordinates: Sequence[str], layers: int):
        self.words = [*SPECIAL, *words]
        self.place = {name: i for i, name in enumerate([CONSTANT, *coordinates])}
        self.width = HEADS * -(-len(self.place) // HEADS)  # a multiple of the heads; one coordinate may stay zero
        config = LlamaConfig(
            hidden_size=self.width, intermediate_size=UNITS, num_hidden_layers=layers, hidden_act="relu",
            num_attention_heads=HEADS, num_key_value_heads=HEADS, head_dim=HEAD_WIDTH, vocab_size=len(self.words),
            max_position_embeddings=16, rms_norm_eps=EPSILON, bos_token_id=0, eos_token_id=1, pad_token_id=1,
            rope_parameters={"rope_type": "default", "rope_theta": THETA},
        )  # fmt: skip
        with torch.random.fork_rng():
            self.model = LlamaForCausalLM(config).requires_grad_(False)
        for weight in self.model.parameters():
            weight.fill_(NORM if weight.ndim == 1 else 0.0)
        self.model.model.embed_tokens.weight[:, 0] = 1.0
        self._units = [0] * layers

    def vector(self, weights: Weights) -> Tensor:
        """Shape [width]."""
        vector = torch.zeros(self.width)
        for name, value in weights.items():
            vector[self.place[name]] = value
        return vector

    def embed(self, word: str, **weights: float) -> None:
        """What a word puts into the stream, beside the constant."""
        self.model.model.embed_tokens.weight[self.words.index(word)] = self.vector({CONSTANT: 1.0, **weights})

    def attend(self, layer: int, head: int, copied: Mapping[str, str], scale: float = 1.0) -> None:
        """A head adds `scale` times the attended mean of one coordinate to another, for each pair: evenly, so far."""
        attention = self._block(layer).self_attn
        for i, (source, sink) in enumerate(copied.items()):
            attention.v_proj.weight[head * HEAD_WIDTH + i] = self.vector({source: scale})
            attention.o_proj.weight[:, head * HEAD_WIDTH + i] = self.vector({sink: 1.0})

    def look_back(self, layer: int, head: int, marked: Weights) -> None:
        """A head attends to the nearest token of which `marked` is 1, itself included, and to none of which it is 0.

        The last pair of a head's coordinates turns by 0.2 a token, so a marked token n back has the score
        ½·100²·cos(0.2 n), an unmarked one 0. Up to n = 7 no two of these are closer than 99: e^−99 is lost beside 1.
        """
        attention, row = self._block(layer).self_attn, head * HEAD_WIDTH + 1
        attention.q_proj.weight[row] = self.vector({CONSTANT: SHARP})
        attention.k_proj.weight[row] = self.vector({name: SHARP * value for name, value in marked.items()})

    def unit(self, layer: int, gate: Weights, written: Weights) -> None:
        """A hidden unit adds max(0, gate·x) times `written`."""
        mlp, unit = self._block(layer).mlp, self._units[layer]
        mlp.gate_proj.weight[unit] = self.vector(gate)
        mlp.up_proj.weight[unit] = self.vector({CONSTANT: 1.0})
        mlp.down_proj.weight[:, unit] = self.vector(written)
        self._units[layer] += 1

    def unembed(self, word: str, **weights: float) -> None:
        """The logit of a word, times `CLEAR`."""
        self.model.lm_head.weight[self.words.index(word)] = CLEAR * self.vector(weights)

    def direction(self, coordinate: str, seed: int) -> Tensor:
        """Where a coordinate lies in the turned stream; shape [1, width]."""
        return self.vector({coordinate: 1.0})[None] @ self._rotation(seed)

    def turned(self, seed: int) -> LlamaForCausalLM:
        """The model, done, with its stream in another orthonormal basis: what it computes is the same."""
        turn = self._rotation(seed)
        for name, weight in self.model.named_parameters():
            if "o_proj" in name or "down_proj" in name:
                weight.copy_(turn.T @ weight)
            elif weight.ndim == 2:
                weight.copy_(weight @ turn)
        return self.model

    def save(self, folder: Path, seed: int) -> Path:
        """The model, turned, and a tokenizer of whole words, in a folder that a config can name."""
        with quiet():
            self.turned(seed).save_pretrained(folder)
        words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(self.words)}, unk_token="<unk>"))
        words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        start, end, unknown = SPECIAL
        words.post_processor = processors.TemplateProcessing(single=f"{start} $A", special_tokens=[(start, 0)])
        PreTrainedTokenizerFast(
            tokenizer_object=words, bos_token=start, eos_token=end, unk_token=unknown
        ).save_pretrained(folder)
        return folder

    def _block(self, layer: int) -> Any:
        return self.model.model.layers[layer]

    def _rotation(self, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.linalg.qr(torch.randn(self.width, self.width, generator=generator))[0]
