"""What a conditioning may do to a backbone. Each way does one or two of these things.

Dimensions: `batch` rows, `positions` tokens, `width` of the hidden state.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

Prepared = tuple[Tensor, ...]  # rows of the batch first in each


@dataclass(frozen=True)
class Shape:
    """What a conditioning must know of a backbone; `heads` are those of its keys and values."""

    width: int
    layers: int
    heads: int
    head_width: int

    @property
    def sublayers(self) -> int:
        """Two a block (attention, MLP), and the head."""
        return 2 * self.layers + 1


class Conditioning(nn.Module):
    """Prepared once for a condition, then asked at each place of the backbone; by itself it does nothing.

    `before` is the number of embeddings that it puts before the first token.
    """

    before = 0

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape

    def prepare(self, condition: Float[Tensor, "batch width"]) -> Prepared:
        """All that depends on the condition alone."""
        return ()

    def prefix(self, prepared: Prepared) -> Float[Tensor, "batch before width"] | None:
        """Embeddings before the first token."""
        return None

    def slot(
        self, prepared: Prepared, layer: int
    ) -> tuple[Float[Tensor, "batch heads 1 head"], Float[Tensor, "batch heads 1 head"]] | None:
        """A key and a value that every token of a block's attention sees beside the tokens; they have no position."""
        return None

    def enter(
        self, prepared: Prepared, sublayer: int, normalised: Float[Tensor, "batch positions width"]
    ) -> Float[Tensor, "batch positions width"]:
        """What a sublayer reads of the normalised hidden state."""
        return normalised

    def leave(
        self, prepared: Prepared, sublayer: int, output: Float[Tensor, "batch positions width"]
    ) -> Float[Tensor, "batch positions width"]:
        """What the hidden state receives of a sublayer's output."""
        return output

    def steer(
        self, prepared: Prepared, layer: int, hidden: Float[Tensor, "batch positions width"]
    ) -> Float[Tensor, "batch positions width"]:
        """The hidden state after a block."""
        return hidden
