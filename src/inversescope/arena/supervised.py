"""Supervised methods: a classifier for each feature of a site, learned from the train split.

Dimensions: `n` inputs of the train split, `targets`, `d` coordinates of a site, `labels` of a feature.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from inversescope.arena.cost import Cost
from inversescope.arena.method import Answer, Kind, classified
from inversescope.arena.study import Study
from inversescope.progress import Progress
from inversescope.streams import TorchStream

HELD = 0.2  # of the inputs with a label, held out to choose hyperparameters
BUDGETS = 4  # of the study, which a method may use that ends by itself where it no longer improves

# From standardized activations to the probabilities of the labels.
Classifier = Callable[[Float[Tensor, "targets d"]], Float[Tensor, "targets labels"]]


@dataclass(frozen=True)
class SiteData:
    """Training data of one site: activations in its own units, and the labels of each feature, −1 where undecided.

    Attributes:
        end: time.monotonic() by which learning must be done.
        shared: results that methods of the study leave for each other at this site.
    """

    activations: Float[Tensor, "n d"]
    labels: Mapping[str, Int[ndarray, " n"]]
    counts: Mapping[str, int]
    rng: torch.Generator
    end: float
    shared: dict[Any, Any] = field(default_factory=dict)


class Fitted(NamedTuple):
    """A classifier, the number of steps it took, and whether the time was up before it no longer improved."""

    classify: Classifier
    steps: int = 0
    cut: bool = False


# Learns a site: a classifier for each feature.
Learn = Callable[[SiteData, Cost], Mapping[str, Classifier]]


@dataclass(frozen=True)
class Supervised:
    """Learner of classifiers, each until it no longer improves on held-out inputs; at most for `BUDGETS` times the
    study's budget, with an equal part of what is left for each site.
    """

    name: str
    learn: Learn
    sees: str = "labels of the training inputs"
    kind: Kind = "classifier"
    supervised: bool = True

    def answer(self, study: Study, folder: Path, cost: Cost, progress: Progress) -> Iterator[Answer]:
        """The classifiers' probabilities."""
        labels = {feature.name: study.labels(feature) for feature in study.features}
        counts = {feature.name: len(feature.values) for feature in study.features}
        left = BUDGETS * study.budget
        for done, site in enumerate(study.sites):
            rng = torch.Generator().manual_seed(TorchStream.TRAINING.seed(study.seed, done))
            started = time.monotonic()
            with cost.train():
                activations = study.standardized("train", site)
                end = started + left / (len(study.sites) - done)
                data = SiteData(activations, labels, counts, rng, end, study.shared.setdefault(site, {}))
                classifiers = self.learn(data, cost)
            left -= time.monotonic() - started
            with cost.answer(), torch.inference_mode():
                targets = study.standardized("target", site)
                shares = {name: classify(targets).double().numpy() for name, classify in classifiers.items()}
            yield from (
                classified(feature, site, shares[feature.name]) for feature in study.features if feature.name in shares
            )
            progress(done + 1, len(study.sites), "sites")


@dataclass(frozen=True)
class Labelled:
    """Inputs with a label of one feature: some to learn from, some held out."""

    x: Float[Tensor, "learned d"]
    y: Int[Tensor, " learned"]
    held_x: Float[Tensor, "held d"]
    held_y: Int[Tensor, " held"]
    count: int


def one_by_one(fit: Callable[[Labelled, torch.Generator, float], Fitted]) -> Learn:
    """Learn each feature by itself, with an equal part of the time."""

    def learn(data: SiteData, cost: Cost) -> dict[str, Classifier]:
        classifiers: dict[str, Classifier] = {}
        for done, (name, codes) in enumerate(data.labels.items()):
            inputs = _labelled(data, codes, data.counts[name])
            if inputs is not None:
                now = time.monotonic()
                fitted = fit(inputs, data.rng, now + (data.end - now) / (len(data.labels) - done))
                cost.fitted(fitted.steps, fitted.cut)
                classifiers[name] = fitted.classify
        return classifiers

    return learn


def _labelled(data: SiteData, codes: Int[ndarray, " n"], count: int) -> Labelled | None:
    """The inputs with a label, some of them held out; None where there are too few."""
    labelled = torch.from_numpy(np.flatnonzero(codes >= 0))
    held = round(HELD * len(labelled))
    if not held:
        return None
    order = labelled[torch.randperm(len(labelled), generator=data.rng)]
    labels = torch.from_numpy(codes)
    learned, out = order[held:], order[:held]
    return Labelled(data.activations[learned], labels[learned], data.activations[out], labels[out], count)
