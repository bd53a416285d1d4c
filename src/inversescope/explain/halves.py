"""Two halves of the draws without an input in common: what proposed a hypothesis must not confirm it.

If few inputs are near, both halves draw the same ones, and the best of many features would be confirmed by the inputs
that chose it. So each input that both have stays in one of them, and counts twice there. They are dealt out by
weight, so that each half gets about as much. Dimensions: `p` proposing draws, `c` confirming ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from inversescope.inverter import Inversion
from inversescope.score.null_feature import label
from inversescope.score.one_activation import HASHES
from inversescope.tasks import Tokens

_SALT = HASHES  # a hash that is no null feature


def apart(propose: Inversion, confirm: Inversion) -> tuple[Inversion, Inversion]:
    """The two halves, weighted anew so that they share no input but the source, to score hypotheses with."""
    proposing, confirming = ([sample.tokens for sample in half.samples] for half in (propose, confirm))
    to_propose, to_confirm = factors(proposing, confirming, propose.weights, propose.tokens)
    return _weighted(propose, to_propose), _weighted(confirm, to_confirm)


def factors(
    propose: Sequence[Tokens | None],
    confirm: Sequence[Tokens | None],
    weights: Float[ndarray, " p"],
    source: Tokens | None = None,
) -> tuple[Float[ndarray, " p"], Float[ndarray, " c"]]:
    """Factors for the weights of both halves: 1 for the source and for an input that only one half has drawn. An input
    of both has 2 in the half that keeps it, and 0 in the other.

    The heaviest input confirms, the next two propose, the next two confirm, and so on; a hash orders equal ones.

    Args:
        propose, confirm: the inputs of both halves.
        weights: of the proposing draws.
        source: the source input, which both halves keep.
    """
    both = {tokens for tokens in {*propose} & {*confirm} - {source} if tokens is not None}
    heavy = dict.fromkeys(both, 0.0)
    for tokens, weight in zip(propose, weights.tolist(), strict=True):
        if tokens in heavy:
            heavy[tokens] += weight
    in_order = sorted(heavy, key=lambda tokens: (-round(heavy[tokens], 6), label(tokens, 2**32, _SALT)))
    proposes = {tokens: place % 4 in (1, 2) for place, tokens in enumerate(in_order)}
    return (
        np.array([2.0 * proposes[tokens] if tokens in both else 1.0 for tokens in propose]),
        np.array([2.0 * (not proposes[tokens]) if tokens in both else 1.0 for tokens in confirm]),
    )


def _weighted(inversion: Inversion, times: Float[ndarray, " n"]) -> Inversion:
    weights = inversion.weights * times
    weights = weights / weights.sum() if weights.any() else weights
    pairs = zip(inversion.samples, weights.tolist(), strict=True)
    return replace(inversion, samples=tuple(replace(sample, weight=weight) for sample, weight in pairs))
