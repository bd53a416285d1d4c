"""How a condition reaches the backbone. Each way is one module with the two methods of `Conditioning`."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


@runtime_checkable
class Conditioning(Protocol):
    """Prepared once per target, applied at the entrance and exit of every sublayer of the backbone."""

    def prepare(self, condition: Float[Tensor, "batch width"]) -> list[Tensor]:
        """One tensor for each sublayer."""
        ...

    def enter(
        self, prepared: Tensor, hidden: Float[Tensor, "batch positions width"]
    ) -> Float[Tensor, "batch positions width"]:
        """What the sublayer reads of the hidden state."""
        ...

    def leave(
        self, prepared: Tensor, output: Float[Tensor, "batch positions width"]
    ) -> Float[Tensor, "batch positions width"]:
        """What the hidden state receives of the sublayer's output."""
        ...


class AdaptiveLayerNorm(nn.Module):
    """The condition sets scale, shift and gate of every sublayer (Peebles & Xie 2023, arXiv 2212.09748, "adaLN")."""

    def __init__(self, width: int, sublayers: int):
        super().__init__()
        self.sublayers = sublayers
        self.modulate = nn.Linear(width, sublayers * 3 * width)
        nn.init.zeros_(self.modulate.bias)

    def prepare(self, condition: Float[Tensor, "batch width"]) -> list[Tensor]:
        batch, width = condition.shape
        modulation = self.modulate(condition).view(batch, self.sublayers, 3, 1, width)
        return list(modulation.unbind(1))

    def enter(
        self, prepared: Tensor, hidden: Float[Tensor, "batch positions width"]
    ) -> Float[Tensor, "batch positions width"]:
        scale, shift, _ = prepared.unbind(1)
        return F.layer_norm(hidden, hidden.shape[-1:]) * (1 + scale) + shift

    def leave(
        self, prepared: Tensor, output: Float[Tensor, "batch positions width"]
    ) -> Float[Tensor, "batch positions width"]:
        return output * (1 + prepared[:, 2])
