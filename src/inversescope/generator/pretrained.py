"""A pretrained causal language model as the backbone, trimmed to the prior's vocabulary.

Dimensions: `batch` rows, `positions` tokens, `vocabulary` tokens, `width` of the hidden state, `embeddings` of the
tokens and of the prefix that a conditioning puts before them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from inversescope.generator.backbone import Backbone, Cache
from inversescope.generator.conditioning import Conditioning, Prepared, Shape
from inversescope.generator.token_bias import TokenBias


@runtime_checkable
class ModulePaths(Protocol):
    """Dotted module paths: `blocks` and `last_norm` within the base model, the others within one block."""

    @property
    def blocks(self) -> str: ...
    @property
    def last_norm(self) -> str: ...
    @property
    def attention_norm(self) -> str: ...
    @property
    def attention(self) -> str: ...
    @property
    def mlp_norm(self) -> str: ...
    @property
    def mlp(self) -> str: ...


@runtime_checkable
class TrimmedModel(Protocol):
    """A Hugging Face model over the generator's vocabulary, with its shape and module paths.

    `adapted`: only low-rank adapters are trained (parameters with "lora_" in their names). `description` is enough to
    build the model again, except for its weights.
    """

    @property
    def model(self) -> Any: ...
    @property
    def parts(self) -> ModulePaths: ...
    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Width, layers, heads of the keys and values, width of a head."""
        ...

    @property
    def new_cache(self) -> Callable[[], Any]: ...
    @property
    def adapted(self) -> bool: ...
    @property
    def description(self) -> dict[str, Any]: ...


class Pretrained(Backbone):
    """A pretrained model, conditioned through hooks. A slot is put into the model's own cache of keys and values, whose
    keys already have their position encoding.
    """

    def __init__(self, trimmed: TrimmedModel, token_bias: bool):
        super().__init__()
        self.model: Any = trimmed.model
        self.trimmed = trimmed
        self.shape = Shape(*trimmed.shape)
        self.token_bias = TokenBias(self.shape.width) if token_bias else None

    @property
    def embeddings(self) -> Float[Tensor, "vocabulary width"]:
        return self.model.get_input_embeddings().weight

    def embed(self, tokens: Int[Tensor, "batch positions"], start: int) -> Float[Tensor, "batch positions width"]:
        return self.model.get_input_embeddings()(tokens)  # the model encodes positions itself

    def run(
        self,
        hidden: Float[Tensor, "batch embeddings width"],
        begin: int,
        conditioning: Conditioning,
        prepared: Prepared,
        cache: Cache | None,
    ) -> Float[Tensor, "batch embeddings vocabulary"]:
        past = None if cache is None else cache.past
        if past is None:
            past = self._past(conditioning, prepared, wanted=cache is not None)
        position = torch.arange(begin, begin + hidden.shape[1], device=hidden.device)[None]
        with self._hooked(conditioning, prepared):
            output = self.model(inputs_embeds=hidden, position_ids=position, cache=past, use_cache=past is not None)
        if cache is not None:
            cache.past = past
        return output.logits

    def set_trainable(self, trainable: bool) -> None:
        super().set_trainable(trainable)
        if self.trimmed.adapted:
            for name, weight in self.model.named_parameters():
                weight.requires_grad_(trainable and "lora_" in name)

    def _past(self, conditioning: Conditioning, prepared: Prepared, wanted: bool) -> Any:
        """New cache, with the slot if there is one; None where neither is needed."""
        slots = [conditioning.slot(prepared, layer) for layer in range(self.shape.layers)]
        if not wanted and slots[0] is None:
            return None
        past = self.trimmed.new_cache()
        for layer, slot in enumerate(slots):
            if slot is not None:
                past.update(*slot, layer)
        return past

    @contextmanager
    def _hooked(self, conditioning: Conditioning, prepared: Prepared) -> Iterator[None]:
        """Context in which the conditioning acts on the model's sublayers and blocks."""
        parts, base = self.trimmed.parts, self.model.base_model
        with ExitStack() as stack:

            def at(module: nn.Module, change: Callable[[Prepared, int, Tensor], Tensor], index: int) -> None:
                def hook(_: nn.Module, inputs: Any, output: Any) -> Any:
                    if isinstance(output, tuple):
                        return change(prepared, index, output[0]), *output[1:]
                    return change(prepared, index, output)

                stack.callback(module.register_forward_hook(hook).remove)

            for layer, block in enumerate(base.get_submodule(parts.blocks)):
                for index, norm, sublayer in (
                    (2 * layer, parts.attention_norm, parts.attention),
                    (2 * layer + 1, parts.mlp_norm, parts.mlp),
                ):
                    at(block.get_submodule(norm), conditioning.sublayer_input, index)
                    at(block.get_submodule(sublayer), conditioning.sublayer_output, index)
                at(block, conditioning.block_output, layer)
            at(base.get_submodule(parts.last_norm), conditioning.sublayer_input, 2 * self.shape.layers)
            yield
