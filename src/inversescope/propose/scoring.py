"""A hypothesis on held-out targets: consistency, chance, bits, and the same with targets shuffled.

A feature's labels come from an expression or from a judge; from here on there is no difference. Dimensions: `targets`,
`n` samples of one target, `prior` inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from inversescope.propose.split import HeldOut
from inversescope.score.feature import PriorLabels, own_share, score_feature
from inversescope.stats import intervals, resampling
from inversescope.stats.intervals import Estimate
from inversescope.stats.labels import encode
from inversescope.stats.weights import repeats
from inversescope.streams import Stream

Labels = Mapping[str, str | None]


def score(held_out: HeldOut, labels: Labels, seed: int) -> dict[str, Any]:
    """The scores of a feature, NaN where undefined; `labels` are of every text, None where it is undecided."""
    values = sorted({label for label in labels.values() if label is not None})
    targets = _codes(held_out.sources, labels, values)
    samples = np.stack([_codes(texts, labels, values) for texts in held_out.samples])
    prior = _codes(held_out.prior, labels, values)
    # A text that was picked several times is one input; the split has left out the targets with too few.
    weights, kept = np.array([repeats(texts) for texts in held_out.samples], dtype=float), np.ones(len(targets), bool)
    of_prior = PriorLabels.of(prior, np.ones(len(prior)), len(values))
    scored = score_feature(samples, weights, targets, of_prior, kept)
    own = np.where(np.isnan(scored.consistency), -1, targets)
    return {
        "targets": scored.targets,
        "samples": int(samples.size),
        "undecided": int((samples < 0).sum()),
        "fcr": scored.fcr,
        "chance": scored.mean_chance,
        "corrected": _widened(scored.corrected, own, prior),
        "bits": scored.bits,
        "shuffled": intervals.mean(_shuffled(scored.shares, own), 0, 1),
        "p_value": resampling.shuffle_test(scored.shares, own, seed, Stream.PROPOSAL_SHUFFLES.rng(seed)),
    }


def _shuffled(shares: Float[ndarray, "targets labels"], own: Int[ndarray, " targets"]) -> Float[ndarray, " targets"]:
    """The share of each target's label among the samples of all others."""
    used = own >= 0
    others = used.sum() - 1
    if others < 1:
        return np.full(len(own), np.nan)
    rest = np.where(used[:, None], shares, 0).sum(0) - shares
    return own_share(rest / others, own)


def _widened(corrected: Estimate, own: Int[ndarray, " targets"], prior: Int[ndarray, " prior"]) -> Estimate:
    """The interval of κ with the error of chance, estimated from few inputs of the prior, added in quadrature.

    Chance is the mean over the prior's inputs of the share of targets with their label, and
    dκ/dFCR₀ = −(1 − κ)/(1 − FCR₀).
    """
    decided, targets = prior[prior >= 0], own[own >= 0]
    if np.isnan(corrected.low) or len(decided) < 2:
        return corrected
    sharing = (decided[:, None] == targets).mean(1)
    error = float(sharing.std(ddof=1)) / len(decided) ** 0.5
    reach = 1.96 * error * (1 - corrected.value) / (1 - float(sharing.mean()))
    below, above = corrected.value - corrected.low, corrected.high - corrected.value
    low, high = (corrected.value - np.hypot(below, reach), corrected.value + np.hypot(above, reach))
    return Estimate(corrected.value, float(low), min(1.0, float(high)))


def _codes(texts: list[str], labels: Labels, values: list[str]) -> Int[ndarray, " n"]:
    """The code of each text's label."""
    return encode([labels[text] for text in texts], values)
