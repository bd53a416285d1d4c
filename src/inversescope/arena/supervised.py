"""Those that were shown labels: a classifier for each feature of a site, learned from the train split.

Dimensions: `n` inputs of the train split, `targets`, `d` coordinates of a site, `labels` of a feature.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from inversescope.arena.cost import Cost
from inversescope.arena.method import Answer, Kind, Progress, classified
from inversescope.arena.study import Setting
from inversescope.streams import TorchStream

HELD = 0.2  # of the inputs with a label: what hyperparameters are chosen on

# From standardized activations to the probabilities of the labels.
Classifier = Callable[[Float[Tensor, "targets d"]], Float[Tensor, "targets labels"]]


@dataclass(frozen=True)
class Lesson:
    """What there is to learn from at one site: activations in its own units, and the label of each, −1 where undecided.

    Attributes:
        seconds: until when learning must be done, of time.monotonic().
    """

    activations: Float[Tensor, "n d"]
    labels: Mapping[str, Int[ndarray, " n"]]
    counts: Mapping[str, int]
    rng: torch.Generator
    seconds: float


# Learns a site: a classifier for each feature.
Learn = Callable[[Lesson, Cost], Mapping[str, Classifier]]


@dataclass(frozen=True)
class Supervised:
    """A way to learn classifiers, with an equal part of the budget for each site."""

    name: str
    learn: Learn
    sees: str = "labels of the training inputs"
    kind: Kind = "classifier"
    supervised: bool = True

    def answer(self, setting: Setting, folder: Path, cost: Cost, progress: Progress) -> Iterator[Answer]:
        """The classifiers' probabilities."""
        labels = {feature.name: setting.labels(feature) for feature in setting.features}
        counts = {feature.name: len(feature.values) for feature in setting.features}
        left = setting.budget
        for done, site in enumerate(setting.sites):
            rng = torch.Generator().manual_seed(TorchStream.TRAINING.seed(setting.seed, done))
            started = time.monotonic()
            with cost.train():
                activations = setting.standardized("train", site)
                end = started + left / (len(setting.sites) - done)
                classifiers = self.learn(Lesson(activations, labels, counts, rng, end), cost)
            left -= time.monotonic() - started
            with cost.answer(), torch.inference_mode():
                targets = setting.standardized("target", site)
                said = {name: classify(targets).double().numpy() for name, classify in classifiers.items()}
            yield from (
                classified(feature, site, said[feature.name]) for feature in setting.features if feature.name in said
            )
            progress(done + 1, len(setting.sites), "sites")


@dataclass(frozen=True)
class Part:
    """The inputs of one feature that have a label: those to learn from, and those held out."""

    x: Float[Tensor, "learned d"]
    y: Int[Tensor, " learned"]
    held_x: Float[Tensor, "held d"]
    held_y: Int[Tensor, " held"]
    count: int


def one_by_one(fit: Callable[[Part, torch.Generator, float], Classifier]) -> Learn:
    """Learn each feature by itself, with an equal part of the time."""

    def learn(lesson: Lesson, cost: Cost) -> dict[str, Classifier]:
        found: dict[str, Classifier] = {}
        for done, (name, codes) in enumerate(lesson.labels.items()):
            part = _part(lesson, codes, lesson.counts[name])
            if part is not None:
                now = time.monotonic()
                found[name] = fit(part, lesson.rng, now + (lesson.seconds - now) / (len(lesson.labels) - done))
        return found

    return learn


def _part(lesson: Lesson, codes: Int[ndarray, " n"], count: int) -> Part | None:
    """The inputs with a label, a part of them held out; None where there are too few."""
    known = torch.from_numpy(np.flatnonzero(codes >= 0))
    held = round(HELD * len(known))
    if not held:
        return None
    order = known[torch.randperm(len(known), generator=lesson.rng)]
    labels = torch.from_numpy(codes)
    there, out = order[held:], order[:held]
    return Part(lesson.activations[there], labels[there], lesson.activations[out], labels[out], count)
