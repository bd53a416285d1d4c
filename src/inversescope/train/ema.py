"""The running mean of the weights in training: what is tested and saved, at whatever step training ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

KEPT = 0.99  # of the mean at each step, after the first hundreds: about the last hundred steps count
EARLY = 9  # over the first steps less is kept, so that the mean soon forgets where training began


class Average:
    """The exponential mean of weights (Polyak averaging).

    With it, training may end at any step: the noise of the last steps is averaged out as a falling learning rate would.
    """

    def __init__(self, weights: Iterable[nn.Parameter]):
        self.weights = list(weights)
        self.mean = [weight.detach().clone() for weight in self.weights]
        self.steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights of one more step."""
        self.steps += 1
        kept = min(KEPT, self.steps / (self.steps + EARLY))
        for mean, weight in zip(self.mean, self.weights, strict=True):
            mean.lerp_(weight.detach(), 1 - kept)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Within, the weights are the mean."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def state(self) -> dict[str, int | list[Tensor]]:
        """What a checkpoint keeps."""
        return {"steps": self.steps, "mean": self.mean}

    @torch.no_grad()
    def load(self, state: dict) -> None:
        """Go on from a checkpoint."""
        self.steps = state["steps"]
        for mean, saved in zip(self.mean, state["mean"], strict=True):
            mean.copy_(saved)

    @torch.no_grad()
    def _swap(self) -> None:
        for weight, mean in zip(self.weights, self.mean, strict=True):
            held = weight.detach().clone()
            weight.copy_(mean)
            mean.copy_(held)
