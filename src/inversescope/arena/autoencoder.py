"""Sparse autoencoder, TopK with the auxiliary loss for dead latents (Gao et al. 2024, arXiv 2406.04093).

Written here: the libraries that train one bring a model runner of their own along. `benchmarks/autoencoder.py` compares
it with one of them.

Dimensions: `n` inputs, `d` coordinates of a site, `latents`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.return_types import topk as TopK

from inversescope.arena.plateau import Ended, train_to_plateau

EXPANSION = 4  # latents to a coordinate
ACTIVE = 32  # latents of an input, at most one to four coordinates
BATCH = 128
RATE = 1e-3  # over sqrt(latents / 2^14)
DEAD = 1000  # steps without firing
AUXILIARY = 1 / 32  # weight of the loss of what dead latents could explain
HELD = 0.1  # of the inputs, held out to see the plateau


class Autoencoder(nn.Module):
    """x ≈ D·TopK(E(x − b)) + b, decoder columns of length one."""

    def __init__(self, width: int, rng: torch.Generator):
        super().__init__()
        latents = EXPANSION * width
        self.active = max(1, min(ACTIVE, width // 4))
        directions = F.normalize(torch.randn(latents, width, generator=rng), dim=1)
        self.encoder, self.decoder = nn.Parameter(directions.clone()), nn.Parameter(directions)
        self.shift, self.bias = nn.Parameter(torch.zeros(latents)), nn.Parameter(torch.zeros(width))

    def before(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n latents"]:
        """Latents before the choice of the largest."""
        return (x - self.bias) @ self.encoder.T + self.shift

    def encode(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n latents"]:
        """The latents: the largest few, and no negative ones."""
        return _largest(self.before(x), self.active)

    def decode(self, latents: Float[Tensor, "n latents"]) -> Float[Tensor, "n d"]:
        """The activation that latents stand for."""
        return latents @ self.decoder + self.bias

    @torch.no_grad()
    def unexplained(self, x: Float[Tensor, "n d"]) -> float:
        """Share of the variance of activations that it leaves."""
        left = (x - self.decode(self.encode(x))).square().sum()
        return float(left / (x - x.mean(0)).square().sum())


def trained(x: Float[Tensor, "n d"], rng: torch.Generator, end: float) -> tuple[Autoencoder, Ended]:
    """An autoencoder of these activations, trained until it explains no more of those held out, or the time is up."""
    order = torch.randperm(len(x), generator=rng)
    held, x = x[order[: round(HELD * len(x))]], x[order[round(HELD * len(x)) :]]
    model = Autoencoder(x.shape[1], rng)
    with torch.no_grad():
        model.bias.copy_(x.mean(0))
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE / (len(model.encoder) / 2**14) ** 0.5, fused=True)
    silent = torch.zeros(len(model.encoder), dtype=torch.long)  # steps since each latent fired
    size = float((x - x.mean(0)).square().sum(1).mean())

    def epoch() -> int:
        batches = torch.randperm(len(x), generator=rng).split(BATCH)
        for batch in batches:
            _step(model, optimizer, x[batch], silent, size)
        return len(batches)

    return model, train_to_plateau(model, epoch, lambda: model.unexplained(held), end)


def _step(
    model: Autoencoder,
    optimizer: torch.optim.Optimizer,
    x: Float[Tensor, "n d"],
    silent: Int[Tensor, " latents"],
    size: float,
) -> None:
    """One update; the decoder's columns keep their length."""
    optimizer.zero_grad()
    before = model.before(x)
    top = before.topk(model.active, dim=1)
    error = x - _sum(top, model.decoder) - model.bias
    loss = error.square().sum(1).mean() / size
    dead = silent > DEAD
    if dead.any():
        count = min(int(dead.sum()), max(1, x.shape[1] // 2))
        spare = before.masked_fill(~dead, -torch.inf).topk(count, dim=1)
        loss = loss + AUXILIARY * (error.detach() - _sum(spare, model.decoder)).square().sum(1).mean() / size
    loss.backward()
    gradient = model.decoder.grad
    assert gradient is not None
    with torch.no_grad():
        gradient -= (gradient * model.decoder).sum(1, keepdim=True) * model.decoder
        optimizer.step()
        model.decoder.copy_(F.normalize(model.decoder, dim=1))
        silent += 1
        silent[top.indices[top.values > 0]] = 0


def _sum(top: TopK, decoder: Float[Tensor, "latents d"]) -> Float[Tensor, "n d"]:
    """Columns of the decoder, weighted by the latents that are positive among the largest: the others cost nothing."""
    return F.embedding_bag(top.indices, decoder, per_sample_weights=top.values.clamp_min(0), mode="sum")


def _largest(values: Float[Tensor, "n latents"], count: int) -> Float[Tensor, "n latents"]:
    """The largest values of each row where they are positive; zero elsewhere."""
    top = values.topk(count, dim=1)
    return torch.zeros_like(values).scatter(1, top.indices, top.values.clamp_min(0))
