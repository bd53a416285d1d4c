"""Sparse autoencoder trained on the same activations, and its latents as classifiers.

The autoencoder is TopK with the auxiliary loss for dead latents (Gao et al. 2024, arXiv 2406.04093). Each label gets
the latent and the threshold with the best F1 on the train split.

Dimensions: `n` inputs, `d` coordinates of a site, `latents`, `labels` of a feature, `cuts`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from inversescope.arena.cost import Cost
from inversescope.arena.supervised import Classifier, SiteData

EXPANSION = 4  # latents to a coordinate
ACTIVE = 32  # latents of an input, at most one to four coordinates
BATCH = 256
EPOCHS = 200  # at most
RATE = 2e-4  # over sqrt(latents / 2^14)
DEAD = 1000  # steps without firing
AUXILIARY = 1 / 32  # weight of the loss of what dead latents could explain
CUTS = 10  # thresholds tried at each latent, evenly over its activations


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


def learn(data: SiteData, cost: Cost) -> dict[str, Classifier]:
    """Train an autoencoder of the site; classify by the latents that fit its labels best."""
    model = trained(data.activations, data.rng, data.end)
    with torch.inference_mode():
        latents = model.encode(data.activations)
        left = (data.activations - model.decode(latents)).square().sum()
        explained = 1 - left / (data.activations - data.activations.mean(0)).square().sum()
        cost.diagnostics.setdefault("explained variance", []).append(float(explained))
        detectors = best(latents, {name: torch.from_numpy(codes) for name, codes in data.labels.items()}, data.counts)
    return {name: _classifier(model, detector) for name, detector in detectors.items()}


def trained(x: Float[Tensor, "n d"], rng: torch.Generator, end: float) -> Autoencoder:
    """An autoencoder of these activations: once through them at least, until the time is up or `EPOCHS` are over."""
    model = Autoencoder(x.shape[1], rng)
    with torch.no_grad():
        model.bias.copy_(x.mean(0))
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE / (len(model.encoder) / 2**14) ** 0.5, betas=(0.9, 0.999))
    silent = torch.zeros(len(model.encoder), dtype=torch.long)  # steps since each latent fired
    size = float((x - x.mean(0)).square().sum(1).mean())
    for epoch in range(EPOCHS):
        for batch in torch.randperm(len(x), generator=rng).split(BATCH):
            if epoch and time.monotonic() >= end:
                return model
            _step(model, optimizer, x[batch], silent, size)
    return model


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
    latents = _largest(before, model.active)
    error = x - model.decode(latents)
    loss = error.square().sum(1).mean() / size
    dead = silent > DEAD
    if dead.any():
        count = min(int(dead.sum()), max(1, x.shape[1] // 2))
        spare = _largest(before.masked_fill(~dead, -torch.inf), count)
        loss = loss + AUXILIARY * (error.detach() - spare @ model.decoder).square().sum(1).mean() / size
    loss.backward()
    gradient = model.decoder.grad
    assert gradient is not None
    with torch.no_grad():
        gradient -= (gradient * model.decoder).sum(1, keepdim=True) * model.decoder
        optimizer.step()
        model.decoder.copy_(F.normalize(model.decoder, dim=1))
        silent += 1
        silent[(latents > 0).any(0)] = 0


@dataclass(frozen=True)
class Detectors:
    """For each label the latent and threshold that detect it best, and the frequency of the label above and
    below the threshold.
    """

    latents: Int[Tensor, " labels"]
    thresholds: Float[Tensor, " labels"]
    above: Float[Tensor, " labels"]
    below: Float[Tensor, " labels"]


def best(
    latents: Float[Tensor, "n latents"], codes: Mapping[str, Int[Tensor, " n"]], counts: Mapping[str, int]
) -> dict[str, Detectors]:
    """The latent and threshold with the best F1 for each label of each feature, over the inputs that have one."""
    names = [name for name, values in codes.items() if (values >= 0).any()]
    # Column by column the labels of one feature after the other, so that each threshold is gone through once.
    wanted = torch.cat([F.one_hot(codes[name] + 1, counts[name] + 1)[:, 1:] for name in names], 1).float()
    labelled = torch.cat([(codes[name] >= 0)[:, None].expand(-1, counts[name]) for name in names], 1).float()
    cuts = _cuts(latents)
    hits, fired = [], []
    for cut in cuts:
        fires = (latents > cut).float()
        hits.append(wanted.T @ fires)
        fired.append(labelled.T @ fires)
    hit, many, total = torch.stack(hits, 1), torch.stack(fired, 1), wanted.sum(0)
    score = 2 * hit / (total[:, None, None] + many).clamp_min(1)
    best_latent = score.flatten(1).argmax(1)
    row, latent = best_latent // latents.shape[1], best_latent % latents.shape[1]
    at = (torch.arange(len(total)), row, latent)
    above = hit[at] / many[at].clamp_min(1)
    below = (total - hit[at]) / (labelled.sum(0) - many[at]).clamp_min(1)
    parts = (of_all.split([counts[name] for name in names]) for of_all in (latent, cuts[row, latent], above, below))
    return {name: Detectors(*values) for name, *values in zip(names, *parts, strict=True)}


def _cuts(latents: Float[Tensor, "n latents"]) -> Float[Tensor, "cuts latents"]:
    """Thresholds for each latent: zero, and quantiles of its activations above zero."""
    ordered = latents.sort(0).values
    silent = (ordered <= 0).sum(0)
    steps = torch.arange(CUTS)[:, None] / CUTS
    places = (silent + steps * (len(latents) - silent)).long().clamp_max(len(latents) - 1)
    cuts = ordered.gather(0, places)
    cuts[0] = 0
    return cuts


def _classifier(model: Autoencoder, detectors: Detectors) -> Classifier:
    def classify(x: Float[Tensor, "n d"]) -> Float[Tensor, "n labels"]:
        fires: Bool[Tensor, "n labels"] = model.encode(x)[:, detectors.latents] > detectors.thresholds
        odds = torch.where(fires, detectors.above, detectors.below).clamp_min(1e-6)
        return odds / odds.sum(1, keepdim=True)

    return classify


def _largest(values: Float[Tensor, "n latents"], count: int) -> Float[Tensor, "n latents"]:
    """The largest values of each row where they are positive; zero elsewhere."""
    top = values.topk(count, dim=1)
    return torch.zeros_like(values).scatter(1, top.indices, top.values.clamp_min(0))
