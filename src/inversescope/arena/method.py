"""What a competitor is: it answers, for each target and site, with a distribution over the labels of each feature.

Dimensions: `targets`, `labels` of a feature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from inversescope.arena.cost import Cost
from inversescope.arena.study import Setting
from inversescope.score.methods import Evidence, Feature
from inversescope.sites import Site
from inversescope.stats.labels import label_shares
from inversescope.verdicts import COLLAPSED

# Called as work goes on: what is done, of how much, and a remark.
Progress = Callable[[int, int, str], None]
Kind = Literal["samples", "classifier", "decoder"]


@dataclass(frozen=True)
class Answer:
    """What a competitor says of one feature at one site.

    Attributes:
        feature: with its values in the order of the shares.
        site: where.
        bandwidth: h; None where it has none.
        shares: of each label; a row is NaN where nothing is said. What is decided and no known label is not in them, so
            that a row may sum to less than one.
        sizes: of the evidence, as an effective sample size; NaN where that has no meaning.
    """

    feature: Feature
    site: Site
    bandwidth: float | None
    shares: Float[ndarray, "targets labels"]
    sizes: Float[ndarray, " targets"]


@runtime_checkable
class Competitor(Protocol):
    """One way to say what an activation encodes."""

    @property
    def name(self) -> str:
        """In tables, and of its folder."""
        ...

    @property
    def kind(self) -> Kind:
        """`samples`: weighted inputs, whose labels are counted; `classifier`: probabilities; `decoder`: words."""
        ...

    @property
    def supervised(self) -> bool:
        """Whether it was shown labels of training inputs."""
        ...

    @property
    def sees(self) -> str:
        """What it is given beside the target's activation, in words."""
        ...

    def answer(self, setting: Setting, folder: Path, cost: Cost, progress: Progress) -> Iterator[Answer]:
        """What it says of every feature at every site; what it says nothing of may be left out.

        Args:
            setting: what all are given.
            folder: its own, for what it wants to keep.
            cost: to be told what is training and what is answering.
        """
        ...


def counted(evidence: Evidence, features: Sequence[Feature]) -> Iterator[Answer]:
    """Weighted inputs as answers: the share of each label among those of a target; nothing where weights collapsed."""
    for feature in features:
        labels, sizes = evidence.labels[feature.name], evidence.sizes
        shares = label_shares(labels, evidence.weights, len(feature.values))
        shares[sizes < min(COLLAPSED, labels.shape[1])] = np.nan
        yield Answer(feature, evidence.site, evidence.bandwidth, shares, sizes)


def classified(feature: Feature, site: Site, shares: Float[ndarray, "targets labels"]) -> Answer:
    """Probabilities as an answer."""
    return Answer(feature, site, None, shares, np.full(len(shares), np.nan))
