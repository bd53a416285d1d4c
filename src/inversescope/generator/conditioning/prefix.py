"""The condition as a few embeddings before the first token."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inversescope.generator.conditioning.conditioning import Conditioning, Prepared, Shape

EMBEDDINGS = 4


class Prefix(Conditioning):
    """Prefix embeddings, linear in the condition.

    The first starts out as the condition itself: with the encoder "identity", an embedding that the backbone can read
    from the first step.
    """

    prefix_length = EMBEDDINGS

    def __init__(self, shape: Shape):
        super().__init__(shape)
        self.write = nn.Linear(shape.width, EMBEDDINGS * shape.width)
        with torch.no_grad():
            nn.init.eye_(self.write.weight[: shape.width])
            self.write.bias[: shape.width].zero_()

    def prepare(self, condition: Float[Tensor, "batch width"]) -> Prepared:
        return (self.write(condition).view(-1, EMBEDDINGS, self.shape.width),)

    def prefix(self, prepared: Prepared) -> Float[Tensor, "batch prefix width"]:
        return prepared[0]
