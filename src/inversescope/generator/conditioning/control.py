"""Control layers: cross-attention from the hidden state to the condition, after each block.

Dimensions: `slots` are the keys and values made from a condition, and a null slot after them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from inversescope.generator.conditioning.conditioning import Conditioning, Prepared, Shape

TOKENS = 4  # with a single one the softmax would be 1 for every query


class Control(Conditioning):
    """InverseScope's control layers (arXiv 2506.07406), which also work with a frozen backbone.

    Queries from the hidden state attend to a few tokens made from the condition, and to a learned null slot, so that a
    position can ignore the condition. The output projections start at zero.
    """

    def __init__(self, shape: Shape):
        super().__init__(shape)
        width = shape.width
        self.tokens = nn.Linear(width, TOKENS * width)
        self.null = nn.Parameter(torch.randn(width))
        self.read = nn.Linear(width, shape.layers * 2 * width, bias=False)
        self.queries = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(shape.layers))
        self.outputs = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(shape.layers))
        for output in self.outputs.parameters():
            nn.init.zeros_(output)

    def prepare(self, condition: Float[Tensor, "batch width"]) -> Prepared:
        batch, width = condition.shape
        tokens = self.tokens(condition).view(batch, TOKENS, width)
        slots = torch.cat((tokens, self.null.expand(batch, 1, width)), dim=1)
        return self.read(slots).view(batch, TOKENS + 1, self.shape.layers, 2, width).unbind(2)

    def weights(
        self, prepared: Prepared, layer: int, hidden: Float[Tensor, "batch positions width"]
    ) -> Float[Tensor, "batch positions slots"]:
        """Attention weights of each position over the slots."""
        query = self.queries[layer](F.layer_norm(hidden, hidden.shape[-1:]))
        keys = prepared[layer][:, :, 0]
        return (query @ keys.transpose(1, 2) / hidden.shape[-1] ** 0.5).softmax(2)

    def block_output(
        self, prepared: Prepared, layer: int, hidden: Float[Tensor, "batch positions width"]
    ) -> Float[Tensor, "batch positions width"]:
        values = prepared[layer][:, :, 1]
        return hidden + self.outputs[layer](self.weights(prepared, layer, hidden) @ values)
