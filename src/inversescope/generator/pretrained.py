"""A pretrained causal language model as the backbone, trimmed to the prior's vocabulary.

Dimensions: `batch` rows, `positions` tokens, `vocabulary` tokens, `width` of the hidden state, `embeddings` of the
tokens and of what a conditioning puts before them.
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
from inversescope.generator.token_bias import Hints


@runtime_checkable
class Parts(Protocol):
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
class Borrowed(Protocol):
    """A Hugging Face model whose tokens are the generator's own, and what must be known of it from outside.

    `adapted`: it holds small matrices that learn in place of its weights (names with "lora_"). `description` is enough
    to make it again, but for its weights.
    """

    @property
    def model(self) -> Any: ...
    @property
    def parts(self) -> Parts: ...
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
    """The conditioning enters through hooks; a slot is put into the model's own cache of keys and values, where keys
    are past the position encoding.
    """

    def __init__(self, borrowed: Borrowed, positions: int, hints: bool):
        super().__init__()
        self.model: Any = borrowed.model
        self.borrowed = borrowed
        self.shape = Shape(*borrowed.shape)
        self.hints = Hints(self.shape.width) if hints else None

    @property
    def embeddings(self) -> Float[Tensor, "vocabulary width"]:
        return self.model.get_input_embeddings().weight

    def embed(self, tokens: Int[Tensor, "batch positions"], start: int) -> Float[Tensor, "batch positions width"]:
        return self.model.get_input_embeddings()(tokens)  # positions are the model's own business

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
            answer = self.model(inputs_embeds=hidden, position_ids=position, cache=past, use_cache=past is not None)
        if cache is not None:
            cache.past = past
        return answer.logits

    def tune(self, learns: bool) -> None:
        super().tune(learns)
        if self.borrowed.adapted:
            for name, weight in self.model.named_parameters():
                weight.requires_grad_(learns and "lora_" in name)

    def _past(self, conditioning: Conditioning, prepared: Prepared, wanted: bool) -> Any:
        """A new cache; where none is wanted, None unless there is a slot to put into it."""
        slots = [conditioning.slot(prepared, layer) for layer in range(self.shape.layers)]
        if not wanted and slots[0] is None:
            return None
        past = self.borrowed.new_cache()
        for layer, slot in enumerate(slots):
            if slot is not None:
                past.update(*slot, layer)
        return past

    @contextmanager
    def _hooked(self, conditioning: Conditioning, prepared: Prepared) -> Iterator[None]:
        """Within, the conditioning has its say at every place of the model."""
        parts, base = self.borrowed.parts, self.model.base_model
        with ExitStack() as stack:

            def at(module: nn.Module, change: Callable[[Prepared, int, Tensor], Tensor], place: int) -> None:
                def hook(_: nn.Module, given: Any, output: Any) -> Any:
                    if isinstance(output, tuple):
                        return change(prepared, place, output[0]), *output[1:]
                    return change(prepared, place, output)

                stack.callback(module.register_forward_hook(hook).remove)

            for layer, block in enumerate(base.get_submodule(parts.blocks)):
                for place, norm, sublayer in (
                    (2 * layer, parts.attention_norm, parts.attention),
                    (2 * layer + 1, parts.mlp_norm, parts.mlp),
                ):
                    at(block.get_submodule(norm), conditioning.enter, place)
                    at(block.get_submodule(sublayer), conditioning.leave, place)
                at(block, conditioning.steer, layer)
            at(base.get_submodule(parts.last_norm), conditioning.enter, 2 * self.shape.layers)
            yield
