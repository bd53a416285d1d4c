"""Interface of a conditioning: the points at which it can change the decoder.

Dimensions: `batch` rows, `positions` tokens, `width` of the hidden state.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

Prepared = tuple[Tensor, ...]  # the batch is the first dimension of each


@dataclass(frozen=True)
class Shape:
    """Shape of the decoder."""

    width: int
    layers: int
    heads: int

    @property
    def sublayers(self) -> int:
        """Number of normalised inputs: attention and MLP of each block, and the output head."""
        return 2 * self.layers + 1


class Conditioning(nn.Module):
    """No conditioning: every method returns its input unchanged, or nothing. Subclasses override some of them."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape

    def prepare(self, condition: Float[Tensor, "batch width"]) -> Prepared:
        """The part that depends on the condition alone, computed once."""
        return ()

    def slot(
        self, prepared: Prepared, layer: int
    ) -> tuple[Float[Tensor, "batch heads 1 head"], Float[Tensor, "batch heads 1 head"]] | None:
        """A key and a value, without a position, that every token of a block's attention attends to."""
        return None

    def sublayer_input(
        self, prepared: Prepared, sublayer: int, normalised: Float[Tensor, "batch positions width"]
    ) -> Float[Tensor, "batch positions width"]:
        """Input of a sublayer, from the normalised hidden state."""
        return normalised

    def sublayer_output(
        self, prepared: Prepared, sublayer: int, output: Float[Tensor, "batch positions width"]
    ) -> Float[Tensor, "batch positions width"]:
        """Summand for the hidden state, from a sublayer's output."""
        return output
