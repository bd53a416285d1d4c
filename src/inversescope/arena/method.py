"""Interface of a method: for each target and site, a distribution over the labels of each feature.

Dimensions: `targets`, `labels` of a feature.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from inversescope.arena.cost import Cost
from inversescope.arena.study import Study
from inversescope.progress import Progress
from inversescope.score.feature import shares_of_kept
from inversescope.score.labelled_feature import Feature
from inversescope.score.methods_and_controls import WeightedInputs
from inversescope.sites import Site

Kind = Literal["samples", "classifier", "decoder"]


@dataclass(frozen=True)
class Answer:
    """A method's distributions of one feature at one site.

    Attributes:
        feature: with its values in the order of the shares.
        site: the place that was read.
        bandwidth: h; None where it has none.
        shares: of each label; a row is NaN where the method abstains. A decided value that is no known label is not in
            them, so that a row may sum to less than one.
        sizes: effective sample sizes behind the shares; NaN where that has no meaning.
    """

    feature: Feature
    site: Site
    bandwidth: float | None
    shares: Float[ndarray, "targets labels"]
    sizes: Float[ndarray, " targets"]


@runtime_checkable
class Method(Protocol):
    """One way to find what an activation encodes."""

    @property
    def name(self) -> str:
        """Name in tables, and of its folder."""
        ...

    @property
    def kind(self) -> Kind:
        """`samples`: weighted inputs, whose labels are counted; `classifier`: probabilities; `decoder`: words."""
        ...

    @property
    def supervised(self) -> bool:
        """True if it learns from labels of training inputs."""
        ...

    @property
    def sees(self) -> str:
        """Its inputs beside the target's activation, in words."""
        ...

    def answer(self, study: Study, folder: Path, cost: Cost, progress: Progress) -> Iterator[Answer]:
        """Its distributions at every site and feature; some may be left out.

        Args:
            study: the same for all methods.
            folder: its own, for files that it keeps.
            cost: seconds of training and of answering are added to it.
        """
        ...


def counted(inputs: WeightedInputs, features: Sequence[Feature], cost: Cost) -> Iterator[Answer]:
    """Weighted inputs as answers: the share of each label among those of a target; NaN where a target is left out.

    The target's own source input is no answer, for any method: its share of the weight is noted, and the others answer.
    """
    if not np.isnan(share := inputs.source_share):
        at = "" if inputs.bandwidth is None else f" at h = {inputs.bandwidth:g}"
        cost.diagnostics.setdefault(f"left out: the source itself, share of the weight{at}", []).append(share)
    others = inputs.without_source()
    for feature in features:
        shares = shares_of_kept(others.labels[feature.name], others.weights, len(feature.values), others.counting)
        yield Answer(feature, others.site, others.bandwidth, shares, others.sizes)


def classified(feature: Feature, site: Site, shares: Float[ndarray, "targets labels"]) -> Answer:
    """Probabilities as an answer."""
    return Answer(feature, site, None, shares, np.full(len(shares), np.nan))
