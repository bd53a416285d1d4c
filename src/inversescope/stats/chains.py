"""Agreement of Markov chains: R̂ of numbers and of labels.

Dimensions: `chains`, `steps` of each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy import stats

COMMON = 0.1  # share of the states from which a label is compared


def r_hat(values: Float[ndarray, "chains steps"]) -> float:
    """R̂ of chains split in halves, by ranks, the larger of location and spread (Vehtari et al., arXiv 1903.08008).

    1 where all chains have one value, infinite where each has its own and they differ; NaN for fewer than four steps.
    """
    if values.shape[1] < 4:
        return np.nan
    half = values.shape[1] // 2
    halves = np.concatenate([values[:, :half], values[:, -half:]])
    folded = np.abs(halves - np.median(halves))
    return max(_basic(_scores(halves)), _basic(_scores(folded)))


def _scores(values: Float[ndarray, "chains steps"]) -> Float[ndarray, "chains steps"]:
    """Normal scores of the ranks over all chains."""
    ranks = stats.rankdata(values, axis=None).reshape(values.shape)
    return stats.norm.ppf((ranks - 3 / 8) / (values.size + 1 / 4))


def _basic(values: Float[ndarray, "chains steps"]) -> float:
    within = values.var(axis=1, ddof=1).mean()
    between = values.mean(1).var(ddof=1)
    if within <= 1e-12:
        return 1.0 if between <= 1e-12 else np.inf
    steps = values.shape[1]
    return float(np.sqrt((steps - 1) / steps + between / within))


def r_hat_of_labels(labels: Sequence[Sequence[Hashable]]) -> float:
    """The largest R̂ of "the state has this label", over labels that a tenth of the states have or of one chain's.

    A sequence for each chain. NaN where no label is so common, and for fewer than four steps.
    """
    common = {
        label for chain in labels for label, count in Counter(chain).items() if chain and count >= COMMON * len(chain)
    }
    has = [np.array([[float(own == label) for own in chain] for chain in labels]) for label in common]
    return max((r_hat(each) for each in has), default=np.nan)
