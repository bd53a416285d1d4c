"""One more key and value in the attention of every block."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from inversescope.generator.conditioning.conditioning import Conditioning, Prepared, Shape


class Slot(Conditioning):
    """InversionView's conditioning (arXiv 2405.17653): every token attends to the condition, which attends to none."""

    def __init__(self, shape: Shape):
        super().__init__(shape)
        self.read = nn.Linear(shape.width, shape.layers * 2 * shape.width)

    def prepare(self, condition: Float[Tensor, "batch width"]) -> Prepared:
        shape = self.shape
        return self.read(condition).view(-1, shape.layers, 2, shape.heads, 1, shape.width // shape.heads).unbind(1)

    def slot(
        self, prepared: Prepared, layer: int
    ) -> tuple[Float[Tensor, "batch heads 1 head"], Float[Tensor, "batch heads 1 head"]]:
        key, value = prepared[layer].unbind(1)
        return key, value
