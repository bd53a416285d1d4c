"""Training until the loss on held-out inputs no longer improves, or the seconds are over."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import NamedTuple

from torch import nn

PATIENCE = 10  # epochs without a better held-out loss
TOLERANCE = 1e-4  # a loss that is lower by less is not better; nats, or share of the variance


class Ended(NamedTuple):
    """End of a training: its steps, its least held-out loss, and True if the seconds were over before the plateau."""

    steps: int
    loss: float
    cut: bool


def train_to_plateau(model: nn.Module, epoch: Callable[[], int], held_loss: Callable[[], float], end: float) -> Ended:
    """Train one epoch after the other, and leave the model with the weights of the least held-out loss.

    Args:
        epoch: trains once on all inputs, and returns its number of steps.
        held_loss: loss on the held-out inputs.
        end: time.monotonic() by which it must be done; one epoch is trained at least.
    """
    best, least, waited, steps = model.state_dict(), float("inf"), 0, 0
    while waited < PATIENCE and (not steps or time.monotonic() < end):
        steps, waited = steps + epoch(), waited + 1
        loss = held_loss()
        if loss < least - TOLERANCE:
            best, least, waited = copy.deepcopy(model.state_dict()), loss, 0
    model.load_state_dict(best)
    return Ended(steps, least, waited < PATIENCE)
