"""The score of a feature: do the weighted inputs of each target share its label, beyond what the prior gives?

Every score in the package comes from here. The p-value is the caller's: it depends on what is shuffled.
Labels are codes from 0; −1 is undecided. Undefined is NaN. Dimensions: `targets`, `n` weighted inputs of one target,
`labels` of the feature, `pool` inputs of the prior.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from inversescope.stats import intervals
from inversescope.stats.intervals import Estimate
from inversescope.stats.labels import entropy, label_shares
from inversescope.stats.weights import effective_sample_size
from inversescope.verdicts import COLLAPSED


class PriorLabels(NamedTuple):
    """The prior's share of each label, and the number of decided inputs that the shares were counted on."""

    shares: Float[ndarray, " labels"]
    size: float

    @classmethod
    def of(cls, codes: Int[ndarray, " pool"], probability: Float[ndarray, " pool"], count: int) -> Self:
        """Shares of `count` labels, of which some may be of the samples alone."""
        return cls(label_shares(codes[None], probability[None], count)[0], float((codes >= 0).sum()))

    def chance(self, targets: Int[ndarray, " targets"]) -> Float[ndarray, " targets"]:
        """The share of each target's own label; NaN where the target is undecided."""
        return own_share(np.broadcast_to(self.shares, (len(targets), len(self.shares))), targets)

    @property
    def entropy(self) -> float:
        """Bits, with the Miller-Madow correction."""
        return float(entropy(self.shares[None], np.array([self.size]))[0])


@dataclass(frozen=True)
class FeatureScore:
    """The score of one feature by one method at one site.

    Attributes:
        shares: of each label among the decided inputs of each target; NaN where the weights have collapsed or nothing
            is decided. With the targets' codes they are what a shuffle test takes.
        consistency: share of the target's own label; NaN also where the target is undecided.
        chance: the prior's share of that label; NaN where consistency is.
        collapsed: number of targets whose weights have collapsed.
        fcr: feature consistency rate, the mean of consistency.
        corrected: κ = (FCR − FCR₀) / (1 − FCR₀).
        bits: drop in entropy from the prior to the inputs, over the targets with a consistency whose decided inputs
            are worth at least four: the entropy of fewer cannot be estimated.
    """

    shares: Float[ndarray, "targets labels"]
    consistency: Float[ndarray, " targets"]
    chance: Float[ndarray, " targets"]
    collapsed: int
    fcr: Estimate
    corrected: Estimate
    bits: Estimate

    @property
    def targets(self) -> int:
        """Number of targets with a consistency."""
        return int((~np.isnan(self.consistency)).sum())

    @property
    def mean_chance(self) -> float:
        """FCR₀ over the same targets; NaN where there is none."""
        return intervals.mean(self.chance).value


def score_feature(
    codes: Int[ndarray, "targets n"],
    weights: Float[ndarray, "targets n"],
    targets: Int[ndarray, " targets"],
    prior: PriorLabels,
    sizes: Float[ndarray, " targets"] | None = None,
) -> FeatureScore:
    """The score from the codes and weights of the inputs, the targets' own codes, and the prior's labels.

    `sizes`: effective sample sizes of the weights, where many features are scored on the same ones.
    """
    sizes, decided = effective_sample_size(weights) if sizes is None else sizes, codes >= 0
    shares = reliable_shares(codes, weights, len(prior.shares), sizes)
    consistency = own_share(shares, targets)
    chance = np.where(np.isnan(consistency), np.nan, prior.chance(targets))
    size = sizes if decided.all() else effective_sample_size(np.where(decided, weights, 0.0))
    most = prior.entropy
    drop = most - np.where(~np.isnan(consistency) & (size >= COLLAPSED), entropy(shares, size), np.nan)
    return FeatureScore(
        shares,
        consistency,
        chance,
        int((~is_reliable(sizes, weights.shape[1])).sum()),
        intervals.mean(consistency, 0, 1),
        intervals.corrected(consistency, chance),
        intervals.mean(drop, most - np.log2(max(1, len(prior.shares))), most),
    )


def consistency(
    codes: Int[ndarray, "targets n"],
    weights: Float[ndarray, "targets n"],
    targets: Int[ndarray, " targets"],
    sizes: Float[ndarray, " targets"],
) -> Float[ndarray, " targets"]:
    """The consistency of `score_feature` alone, up to rounding, without the shares of other labels: for a search over
    thousands of features.
    """
    decided = (weights * (codes >= 0)).sum(1)
    same = (weights * (codes == targets[:, None])).sum(1)
    used = is_reliable(sizes, weights.shape[1]) & (decided > 0) & (targets >= 0)
    return np.divide(same, decided, out=np.full(len(targets), np.nan), where=used)


def is_reliable(sizes: Float[ndarray, " targets"], n: int) -> Bool[ndarray, " targets"]:
    """Targets whose weights have not collapsed: `n` inputs are worth at least four, or all where there are fewer."""
    return sizes >= min(COLLAPSED, n)


def reliable_shares(
    codes: Int[ndarray, "targets n"],
    weights: Float[ndarray, "targets n"],
    count: int,
    sizes: Float[ndarray, " targets"] | None = None,
) -> Float[ndarray, "targets labels"]:
    """Shares of `count` labels; NaN where the weights have collapsed or nothing is decided. `sizes` as above."""
    reliable = is_reliable(effective_sample_size(weights) if sizes is None else sizes, weights.shape[1])
    return np.where(reliable[:, None], label_shares(codes, weights, count), np.nan)


def own_share(
    shares: Float[ndarray, "targets labels"], targets: Int[ndarray, " targets"]
) -> Float[ndarray, " targets"]:
    """The share of each target's own label; NaN where it is undecided."""
    if shares.shape[1] == 0:
        return np.full(len(targets), np.nan)
    return np.where(targets >= 0, shares[np.arange(len(targets)), targets], np.nan)
