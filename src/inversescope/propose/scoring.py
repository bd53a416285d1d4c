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
from inversescope.stats import intervals, resampling
from inversescope.stats.intervals import Estimate
from inversescope.stats.labels import entropy, label_shares
from inversescope.streams import Stream
from inversescope.verdicts import COLLAPSED

Labels = Mapping[str, str | None]


def score(held_out: HeldOut, labels: Labels, seed: int) -> dict[str, Any]:
    """The scores of a feature, NaN where undefined; `labels` are of every text, None where it is undecided."""
    values = sorted({label for label in labels.values() if label is not None})
    targets = _codes(held_out.sources, labels, values)
    samples = np.stack([_codes(texts, labels, values) for texts in held_out.samples])
    prior = _codes(held_out.prior, labels, values)
    shares = label_shares(samples, np.ones(samples.shape), len(values))
    free = label_shares(prior[None], np.ones((1, len(prior))), len(values))
    own = np.where((targets >= 0) & ~np.isnan(shares).any(1), targets, -1)
    consistency = _of_target(shares, own)
    chance = _of_target(np.repeat(free, len(own), axis=0), own)
    corrected = _widened(intervals.corrected(consistency, chance), own, prior)
    decided = (samples >= 0).sum(1).astype(float)
    most = float(entropy(free, np.array([float((prior >= 0).sum())]))[0])
    left = np.where((own >= 0) & (decided >= COLLAPSED), entropy(shares, decided), np.nan)
    return {
        "targets": int((own >= 0).sum()),
        "samples": int(samples.size),
        "undecided": int((samples < 0).sum()),
        "fcr": intervals.mean(consistency, 0, 1),
        "chance": intervals.mean(chance).value,
        "corrected": corrected,
        "bits": intervals.mean(most - left, most - np.log2(max(1, len(values))), most),
        "shuffled": intervals.mean(_shuffled(shares, own), 0, 1),
        "p_value": resampling.shuffle_test(shares, own, seed, Stream.PROPOSAL_SHUFFLES.rng(seed)),
    }


def _shuffled(shares: Float[ndarray, "targets labels"], own: Int[ndarray, " targets"]) -> Float[ndarray, " targets"]:
    """For each target the share of its label among the samples of all others."""
    used = own >= 0
    others = used.sum() - 1
    if others < 1:
        return np.full(len(own), np.nan)
    rest = np.where(used[:, None], shares, 0).sum(0) - shares
    return _of_target(rest / others, own)


def _widened(corrected: Estimate, own: Int[ndarray, " targets"], prior: Int[ndarray, " prior"]) -> Estimate:
    """The interval of κ with the error of chance, which a few inputs of the prior tell, added in quadrature.

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


def _of_target(shares: Float[ndarray, "targets labels"], own: Int[ndarray, " targets"]) -> Float[ndarray, " targets"]:
    """For each target the share of its own label; NaN where it is undecided."""
    if shares.shape[1] == 0:
        return np.full(len(own), np.nan)
    return np.where(own >= 0, shares[np.arange(len(own)), own], np.nan)


def _codes(texts: list[str], labels: Labels, values: list[str]) -> Int[ndarray, " n"]:
    """The place of each text's label in `values`; −1 where undecided."""
    place = {value: code for code, value in enumerate(values)}
    found = (labels[text] for text in texts)
    return np.array([-1 if label is None else place[label] for label in found], dtype=int)
