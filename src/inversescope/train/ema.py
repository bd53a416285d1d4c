"""Exponential moving average of the weights in training; it is what is checked and saved.

Hand-written because torch's (`torch.optim.swa_utils.AveragedModel`) copies the whole module, with every buffer of
stored activations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

DECAY = 0.99  # of the average at each step: about the last hundred steps count
EARLY = 9  # a larger value makes the decay of the first steps smaller, so that the initial weights are soon forgotten


class ExponentialMovingAverage:
    """Exponential moving average of trained weights (Polyak averaging).

    Training may end at any step: the average removes the noise of the last steps, as a falling learning rate would.
    """

    def __init__(self, weights: Iterable[nn.Parameter]):
        self.weights = list(weights)
        self.mean = [weight.detach().clone() for weight in self.weights]
        self.steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Add the weights of one more step."""
        self.steps += 1
        decay = min(DECAY, self.steps / (self.steps + EARLY))
        for mean, weight in zip(self.mean, self.weights, strict=True):
            mean.lerp_(weight.detach(), 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Context in which the weights are the average."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def state(self) -> dict[str, int | list[Tensor]]:
        """State for a checkpoint."""
        return {"steps": self.steps, "mean": self.mean}

    @torch.no_grad()
    def load(self, state: dict) -> None:
        """Continue from a checkpoint's state."""
        self.steps = state["steps"]
        for mean, saved in zip(self.mean, state["mean"], strict=True):
            mean.copy_(saved)

    @torch.no_grad()
    def _swap(self) -> None:
        for weight, mean in zip(self.weights, self.mean, strict=True):
            held = weight.detach().clone()
            weight.copy_(mean)
            mean.copy_(held)
