"""The score of a feature for one activation, where the draws are the independent units.

`score_feature` averages over targets, and draws of one target are not independent of each other there. For one given
activation there is nothing to average over: its draws are independent, as many as their weights are worth, and the
share with the source's label is a binomial proportion. So an interval and a p-value here are statements about this
activation alone; those of `score_feature` are statements about the site. Dimensions: `n` draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy import special

from inversescope.score.feature import PriorLabels, shares_of_kept
from inversescope.score.null_feature import label
from inversescope.stats.intervals import UNDEFINED, Estimate, jeffreys
from inversescope.stats.labels import encode, entropy
from inversescope.stats.weights import effective_sample_size
from inversescope.tasks import Tokens

HASHES = 15


class ActivationScore(NamedTuple):
    """The score of one feature for one activation; NaN where the target is left out or nothing is decided.

    `share` of the source's label has Jeffreys' interval, `corrected` is (share − chance) / (1 − chance), `bits` are the
    drop in entropy from the prior to the draws, `most_bits` the prior's entropy, and `p_value` is the probability that
    the prior gives as many inputs with the label.
    """

    share: Estimate
    corrected: Estimate
    bits: float
    most_bits: float
    p_value: float


def score_activation(
    codes: Int[ndarray, " n"], weights: Float[ndarray, " n"], own: int, prior: PriorLabels, kept: bool
) -> ActivationScore:
    """The score from the codes (−1: undecided) and weights of the draws, and the code of the source's label.

    An input that was drawn several times has its whole weight at one draw, so that intervals and p-values count inputs.
    `kept`: the weights have not collapsed (`verdicts/left_out.py`).
    """
    decided = np.where(codes >= 0, weights, 0.0)[None]
    size, chance = float(effective_sample_size(decided)[0]), float(prior.shares[own])
    shares = shares_of_kept(codes[None], decided, len(prior.shares), np.array([kept]))
    rate = float(shares[0, own])
    if np.isnan(rate):
        return ActivationScore(UNDEFINED, UNDEFINED, np.nan, np.nan, np.nan)
    share = jeffreys(rate, size)
    corrected = Estimate(*((value - chance) / (1 - chance) for value in share))
    left = float(entropy(shares, np.array([size]))[0])
    tail = binomial_tail(rate, size, chance)
    return ActivationScore(share, corrected, prior.entropy - left, prior.entropy, tail)


def null_score(
    tokens: Sequence[Tokens | None],
    weights: Float[ndarray, " n"],
    own: Callable[[int], str | None],
    count: int,
    pool: float,
    kept: bool,
) -> ActivationScore:
    """The score of the null feature with `count` labels: the middle one of several hashes, since one may be luck.

    Args:
        tokens: the draws; None where one never ended.
        own: the source's label by the hash of a salt.
        pool: number of inputs of the prior.
    """
    prior = PriorLabels(np.full(count, 1 / count), float(pool))
    values = [str(number) for number in range(count)]

    def hashed(salt: int) -> ActivationScore:
        labels = [None if row is None else label(row, count, salt) for row in tokens]
        return score_activation(encode(labels, values), weights, int(own(salt) or 0), prior, kept)

    return sorted(map(hashed, range(HASHES)), key=lambda score: score.corrected.low)[HASHES // 2]


def binomial_tail(rate: float, size: float, chance: float) -> float:
    """The probability of as many draws with the label by chance: a binomial tail, continued between whole numbers by
    the incomplete beta function, as weighted counts are not whole.
    """
    alike = size * rate
    return float(special.betainc(alike, size - alike + 1, chance)) if alike > 0 else 1.0
