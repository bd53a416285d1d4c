"""Adaptive layer norm: scale, shift and gate of every sublayer are linear in the condition."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from inversescope.generator.conditioning.conditioning import Conditioning, Prepared, Shape


class AdaLN(Conditioning):
    """Scale and shift of every sublayer's input, gate of its output (adaLN, Peebles and Xie, arXiv 2212.09748).

    Scale and gate are added to 1: before training, a condition of zeros leaves the decoder unchanged.
    """

    def __init__(self, shape: Shape):
        super().__init__(shape)
        self.modulate = nn.Linear(shape.width, shape.sublayers * 3 * shape.width)
        nn.init.zeros_(self.modulate.bias)

    def prepare(self, condition: Float[Tensor, "batch width"]) -> Prepared:
        batch, width = condition.shape
        return self.modulate(condition).view(batch, self.shape.sublayers, 3, 1, width).unbind(1)

    def sublayer_input(
        self, prepared: Prepared, sublayer: int, normalised: Float[Tensor, "batch positions width"]
    ) -> Float[Tensor, "batch positions width"]:
        scale, shift, _ = prepared[sublayer].unbind(1)
        return normalised * (1 + scale) + shift

    def sublayer_output(
        self, prepared: Prepared, sublayer: int, output: Float[Tensor, "batch positions width"]
    ) -> Float[Tensor, "batch positions width"]:
        return output * (1 + prepared[sublayer][:, 2])
