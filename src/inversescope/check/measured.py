"""Numbers of a claim: the share of inputs with the claimed property among the draws, and beside every control.

The draws of one activation are the independent units, as many as their weights are worth (`score/one_activation.py`);
of the other targets each is one unit. Every share of a judge's answers is corrected for its error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy import stats

from inversescope.check.evidence import Evidence, Inputs
from inversescope.score.null_feature import label as hashed
from inversescope.score.one_activation import binomial_tail, null_score
from inversescope.stats import intervals
from inversescope.stats.intervals import UNDEFINED, Estimate
from inversescope.stats.misclassified import Accuracy, corrected_share
from inversescope.stats.weights import effective_sample_size
from inversescope.tasks import Tokens
from inversescope.verdicts.checked import Shares
from inversescope.verdicts.thresholds import OTHERS

LARGEST = 1000  # labels of the null feature, where the prior hardly ever has the property

Labels = Callable[[Tokens, str], str | None]  # of an input and its text; None is undecided


@dataclass(frozen=True)
class Measured:
    """Numbers of one claim; NaN where undefined.

    Attributes:
        shares: input of the verdict.
        prior, ending, targets: share of the inputs with the property by each control.
        inputs: effective number of decided draws.
        p_value: probability that the prior gives as many draws with the property.
    """

    shares: Shares
    prior: Estimate
    ending: Estimate
    targets: Estimate
    inputs: float
    p_value: float


def measured(evidence: Evidence, labels: Labels, value: str, accuracy: Accuracy | None = None) -> Measured:
    """The numbers of the claim that the label is `value`.

    Args:
        labels: of an input.
        accuracy: of whoever gave the labels; None where they are computed.
    """

    def of(inputs: Inputs) -> Int[ndarray, " n"]:
        found = [labels(*item) for item in zip(inputs.tokens, inputs.texts, strict=True)]
        return np.array([-1 if label is None else int(label == value) for label in found], dtype=int)

    draws, prior, weights = of(evidence.draws), of(evidence.prior), evidence.draws.weights
    share = _share(draws, weights, accuracy)
    by_prior = _share(prior, evidence.prior.weights, accuracy, evidence.exact)
    by_ending = _share(of(evidence.ending), evidence.ending.weights, accuracy, evidence.exact)
    by_targets = _mean([_rate(of(target), target.weights) for target in evidence.targets], accuracy)
    others = evidence.draws.without(evidence.tokens)
    shares = Shares(
        share,
        _share(draws, others, accuracy) if others.sum() >= OTHERS else UNDEFINED,
        intervals.difference(share, by_prior),
        intervals.difference(share, by_ending),
        intervals.difference(share, by_targets),
        1 - float(weights[draws >= 0].sum()),
        _null(evidence, _rate(prior, evidence.prior.weights)),
        evidence.tokens is not None,
    )
    p_value = _p_value(draws, weights, prior, evidence.prior.weights, accuracy is not None)
    return Measured(shares, by_prior, by_ending, by_targets, _size(draws, weights), p_value)


def _rate(codes: Int[ndarray, " n"], weights: Float[ndarray, " n"]) -> float:
    """Share of the decided weight that has the property; NaN where none is decided."""
    decided = float(weights[codes >= 0].sum())
    return min(1.0, float(weights[codes == 1].sum()) / decided) if decided > 0 else np.nan


def _size(codes: Int[ndarray, " n"], weights: Float[ndarray, " n"]) -> float:
    """Effective number of decided inputs."""
    return float(effective_sample_size(np.where(codes >= 0, weights, 0.0)[None])[0]) if len(codes) else 0.0


def _share(
    codes: Int[ndarray, " n"], weights: Float[ndarray, " n"], accuracy: Accuracy | None, exact: bool = False
) -> Estimate:
    """The share with its interval; none where the inputs are all that there are."""
    if np.isnan(rate := _rate(codes, weights)):
        return UNDEFINED
    if accuracy is not None:
        return corrected_share(rate, _size(codes, weights), accuracy)
    return Estimate(rate, rate, rate) if exact else intervals.jeffreys(rate, _size(codes, weights))


def _mean(rates: list[float], accuracy: Accuracy | None) -> Estimate:
    """Mean over the targets."""
    decided = np.array([rate for rate in rates if not np.isnan(rate)])
    if accuracy is None or not len(decided):
        return intervals.mean(decided, 0, 1)
    return corrected_share(float(decided.mean()), float(len(decided)), accuracy)


def _null(evidence: Evidence, chance: float) -> Estimate:
    """Share of the draws with the source's label of a hash that has the claim's chance level; of a vector with any
    label, since a claim about it is no label of its own.
    """
    count = int(np.clip(round(1 / chance), 2, LARGEST)) if chance > 0 else LARGEST
    tokens, source = evidence.draws.tokens, evidence.tokens
    score = null_score(
        tokens,
        evidence.draws.weights,
        lambda salt: None if source is None else hashed(source, count, salt),
        count,
        float(len(evidence.prior)),
        True,
    )
    return score.share


def _p_value(
    draws: Int[ndarray, " n"],
    weights: Float[ndarray, " n"],
    prior: Int[ndarray, " pool"],
    probability: Float[ndarray, " pool"],
    judged: bool,
) -> float:
    """Binomial tail by the prior's share. A judge answers about few inputs of the prior, whose share is known no better
    than by these; then the tail is beta-binomial. Wrong answers leave it valid, since two equal shares of true labels
    show as equal shares of answers.
    """
    share, size = _rate(prior, probability), _size(prior, probability)
    rate, inputs = _rate(draws, weights), round(_size(draws, weights))
    if np.isnan(share) or np.isnan(rate) or not inputs:
        return np.nan
    if not judged:
        return binomial_tail(rate, _size(draws, weights), share)
    tail = stats.betabinom(inputs, size * share + 0.5, size * (1 - share) + 0.5)
    return float(tail.sf(round(rate * inputs) - 1))
