"""Divergence of the next-token distributions of runs with other activations from that of the undisturbed run."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def divergences(
    undisturbed: Float[Tensor, " vocabulary"], logits: Float[Tensor, "rows vocabulary"]
) -> Float[Tensor, " rows"]:
    """KL(undisturbed ‖ patched) of each row in nats.

    Args:
        undisturbed: log-probabilities of the undisturbed run.
        logits: of the runs with other activations.
    """
    patched = logits.log_softmax(1)
    return (undisturbed.exp() * (undisturbed - patched)).sum(1).clamp_min(0)  # rounding alone is below 0
