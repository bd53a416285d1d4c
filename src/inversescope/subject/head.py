"""The subject's output head on hidden states that were kept: logits of all tokens, or of some."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inversescope.errors import UserError

_CLOSE = 0.05  # largest difference of a log probability that rounding explains


class Head:
    """From what the last norm gives to logits: a linear map, and the scale or the cap that some models put behind it.

    Checked on construction against the model's own logits.

    Raises:
        UserError: the model makes its logits in another way.
    """

    def __init__(self, model: Any):
        self._module = model.get_output_embeddings()
        config = model.config
        self._scale = getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", None) or 1)
        self._cap = getattr(config, "final_logit_softcapping", None)
        self._check(model)

    @torch.inference_mode()
    def logits(self, hidden: Float[Tensor, "n w"]) -> Float[Tensor, "n v"]:
        """Logits of every next token, in float32."""
        return self._finish(self._module(hidden))

    @torch.inference_mode()
    def logits_of(self, hidden: Float[Tensor, "n w"], tokens: Int[Tensor, " k"]) -> Float[Tensor, "n k"]:
        """Logits of some next tokens."""
        weight, bias = self._module.weight[tokens], getattr(self._module, "bias", None)
        return self._finish(torch.nn.functional.linear(hidden, weight, None if bias is None else bias[tokens]))

    def _finish(self, logits: Tensor) -> Tensor:
        scaled = logits.float() * self._scale
        return scaled if self._cap is None else torch.tanh(scaled / self._cap) * self._cap

    @torch.inference_mode()
    def _check(self, model: Any) -> None:
        tokens = torch.arange(min(8, model.config.vocab_size), device=model.device)[None]
        hidden = model.base_model(input_ids=tokens, use_cache=False).last_hidden_state
        own = model(input_ids=tokens, use_cache=False).logits[0].float().log_softmax(-1)
        here = self.logits(hidden[0]).log_softmax(-1)
        likely = own > own.max() - 10
        if float((own - here)[likely].abs().max()) > _CLOSE:
            raise UserError(
                "this model does something to its logits that is not known here",
                given=model.config.model_type,
                allowed="a linear head, perhaps with logit_scale, logits_scaling or final_logit_softcapping",
            )
