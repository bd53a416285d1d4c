"""Latents of a sparse autoencoder that is trained on the same activations, as classifiers.

`sae latents`: each label gets the latent and the threshold with the best F1 on the train split. `all latents`: a linear
probe on all latents together. Both have the same autoencoder.

Dimensions: `n` inputs, `d` coordinates of a site, `latents`, `labels` of a feature, `cuts`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from inversescope.arena import probes
from inversescope.arena.autoencoder import Autoencoder, trained
from inversescope.arena.cost import Cost
from inversescope.arena.supervised import Classifier, SiteData, one_by_one

CUTS = 10  # thresholds tried at each latent, evenly over its activations


def single(data: SiteData, cost: Cost) -> dict[str, Classifier]:
    """Classify by the single latents that fit the labels best."""
    model = _autoencoder(data, cost)
    with torch.inference_mode():
        latents = model.encode(data.activations)
        detectors = best(latents, {name: torch.from_numpy(codes) for name, codes in data.labels.items()}, data.counts)
    return {name: _classifier(model, detector) for name, detector in detectors.items()}


def together(data: SiteData, cost: Cost) -> dict[str, Classifier]:
    """Classify by a linear probe on all latents."""
    model = _autoencoder(data, cost)
    with torch.no_grad():
        latents = model.encode(data.activations)
    probed = one_by_one(probes.linear)(replace(data, activations=latents), cost)
    return {name: _of_latents(model, classify) for name, classify in probed.items()}


def _autoencoder(data: SiteData, cost: Cost) -> Autoencoder:
    """The autoencoder of the site, trained by the first method that needs it; its cost is counted for each."""
    known = data.shared.get(Autoencoder)
    if known is None:
        started = time.monotonic()
        model, ended = trained(data.activations, data.rng, data.end)
        data.shared[Autoencoder] = known = (model, ended, time.monotonic() - started)
    else:
        cost.training = (cost.training or 0.0) + known[2]
    model, ended, _ = known
    cost.fitted(ended.steps, ended.cut)
    cost.diagnostics.setdefault("explained variance", []).append(1 - model.unexplained(data.activations))
    cost.diagnostics.setdefault("of held-out inputs", []).append(1 - ended.loss)
    return model


def _of_latents(model: Autoencoder, classify: Classifier) -> Classifier:
    return lambda x: classify(model.encode(x))


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
