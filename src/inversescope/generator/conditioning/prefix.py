"""A few embeddings before the first token."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inversescope.generator.conditioning.conditioning import Conditioning, Prepared, Shape

EMBEDDINGS = 4


class Prefix(Conditioning):
    """The condition as text that comes first. The first embedding starts out as the condition itself, so that one which
    the backbone knows how to read (encoder "identity") is read from the start.
    """

    before = EMBEDDINGS

    def __init__(self, shape: Shape):
        super().__init__(shape)
        self.write = nn.Linear(shape.width, EMBEDDINGS * shape.width)
        with torch.no_grad():
            nn.init.eye_(self.write.weight[: shape.width])
            self.write.bias[: shape.width].zero_()

    def prepare(self, condition: Float[Tensor, "batch width"]) -> Prepared:
        return (self.write(condition).view(-1, EMBEDDINGS, self.shape.width),)

    def prefix(self, prepared: Prepared) -> Float[Tensor, "batch before width"]:
        return prepared[0]
