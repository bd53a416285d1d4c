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
from inversescope.verdicts import COLLAPSED, OTHERS

ROUNDING = 1e-9  # effective sample sizes that differ by a smaller share are equal


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
        shares: of each label among the decided inputs of each target; NaN where the target is left out or nothing
            is decided. With the targets' codes they are what a shuffle test takes.
        consistency: share of the target's own label; NaN also where the target is undecided.
        chance: the prior's share of that label; NaN where consistency is.
        collapsed: number of targets that are left out because their weights have collapsed.
        fcr: feature consistency rate, the mean of consistency.
        corrected: κ = (FCR − FCR₀) / (1 − FCR₀).
        bits: drop in entropy from the prior to the inputs, over the targets with a consistency whose decided inputs
            are worth at least four, or as many as all inputs of a target that is known to count: the entropy of fewer
            cannot be estimated.
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
    kept: Bool[ndarray, " targets"] | None = None,
    sizes: Float[ndarray, " targets"] | None = None,
) -> FeatureScore:
    """The score from the codes and weights of the inputs, the targets' own codes, and the prior's labels.

    Args:
        kept: targets that count; by their effective sample size where nothing else is known of them.
        sizes: effective sample size of the weights, where it is known already.
    """
    sizes, decided = effective_sample_size(weights) if sizes is None else sizes, codes >= 0
    least = np.full(len(sizes), COLLAPSED) if kept is None else np.minimum(COLLAPSED, (1 - ROUNDING) * sizes)
    kept = has_enough(weights) if kept is None else kept
    shares = shares_of_kept(codes, weights, len(prior.shares), kept)
    consistency = own_share(shares, targets)
    chance = np.where(np.isnan(consistency), np.nan, prior.chance(targets))
    size = sizes if decided.all() else effective_sample_size(np.where(decided, weights, 0.0))
    most = prior.entropy
    drop = most - np.where(~np.isnan(consistency) & (size >= least), entropy(shares, size), np.nan)
    return FeatureScore(
        shares,
        consistency,
        chance,
        int((~kept).sum()),
        intervals.mean(consistency, 0, 1),
        intervals.corrected(consistency, chance),
        intervals.mean(drop, most - np.log2(max(1, len(prior.shares))), most),
    )


def consistency(
    codes: Int[ndarray, "targets n"],
    weights: Float[ndarray, "targets n"],
    targets: Int[ndarray, " targets"],
    kept: Bool[ndarray, " targets"],
) -> Float[ndarray, " targets"]:
    """The consistency of `score_feature` alone, up to rounding, without the shares of other labels: for a search over
    thousands of features.
    """
    decided = (weights * (codes >= 0)).sum(1)
    same = (weights * (codes == targets[:, None])).sum(1)
    used = kept & (decided > 0) & (targets >= 0)
    return np.divide(same, decided, out=np.full(len(targets), np.nan), where=used)


def has_enough(weights: Float[ndarray, "targets n"]) -> Bool[ndarray, " targets"]:
    """Targets whose `n` inputs are worth at least four, or all where there are fewer. Each input stands once: repeats
    of an input have no weight.
    """
    return effective_sample_size(weights) >= min(COLLAPSED, weights.shape[1])


def without_source(
    weights: Float[ndarray, "targets n"], source: Bool[ndarray, "targets n"]
) -> tuple[Float[ndarray, "targets n"], Bool[ndarray, " targets"]]:
    """The weights of the inputs other than the source, and the targets at which these have weight and are enough."""
    others = np.where(source, 0.0, weights)
    return others, has_enough(others) & (others.sum(1) >= OTHERS * weights.sum(1))


def others_chance(
    chance: Float[ndarray, " targets"], decided: float, mass: Float[ndarray, " targets"]
) -> Float[ndarray, " targets"]:
    """The share of each target's own label among inputs other than its source; NaN where there is no other.

    Args:
        chance: the share among all decided inputs.
        decided: the prior's share of the decided inputs.
        mass: the prior's share of each source.
    """
    left = decided - mass
    return np.divide((chance * decided - mass).clip(0), left, out=np.full(len(mass), np.nan), where=left > ROUNDING)


def shares_of_kept(
    codes: Int[ndarray, "targets n"], weights: Float[ndarray, "targets n"], count: int, kept: Bool[ndarray, " targets"]
) -> Float[ndarray, "targets labels"]:
    """Shares of `count` labels; NaN where a target is left out or nothing is decided."""
    return np.where(kept[:, None], label_shares(codes, weights, count), np.nan)


def own_share(
    shares: Float[ndarray, "targets labels"], targets: Int[ndarray, " targets"]
) -> Float[ndarray, " targets"]:
    """The share of each target's own label; NaN where it is undecided."""
    if shares.shape[1] == 0:
        return np.full(len(targets), np.nan)
    return np.where(targets >= 0, shares[np.arange(len(targets)), targets], np.nan)
