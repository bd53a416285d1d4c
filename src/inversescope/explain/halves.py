"""Two halves of the draws without an input in common: what proposed a hypothesis must not confirm it.

If few inputs are near, both halves draw the same ones, and the best of many features would be confirmed by the inputs
that chose it. So each input that both have stays in one of them, and counts twice there. They are dealt out by
weight, so that both halves get as much of it. Dimensions: `p` proposing draws, `c` confirming ones.
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
    tokens = [[sample.tokens for sample in half.samples] for half in (propose, confirm)]
    first, second = factors(tokens[0], tokens[1], propose.weights, propose.tokens)
    return _weighted(propose, first), _weighted(confirm, second)


def factors(
    propose: Sequence[Tokens | None],
    confirm: Sequence[Tokens | None],
    weights: Float[ndarray, " p"],
    source: Tokens | None,
) -> tuple[Float[ndarray, " p"], Float[ndarray, " c"]]:
    """Factors of the weights of both: 0 and 2 for an input that both have drawn, 1 for any other and for the source.

    `weights`: of the proposing draws. By them, and by a hash among equals, the first two inputs go to one half and the
    other, the next two to the other and the one, and so on.
    """
    both = {*propose} & {*confirm} - {None, source}
    heavy = dict.fromkeys(both, 0.0)
    for tokens, weight in zip(propose, weights.tolist(), strict=True):
        if tokens in heavy:
            heavy[tokens] += weight
    in_order = sorted(heavy, key=lambda tokens: (-round(heavy[tokens], 6), label(tokens or (), 2**32, _SALT)))
    first = {tokens for place, tokens in enumerate(in_order) if place % 4 in (1, 2)}
    return (
        np.array([2.0 * (tokens in first) if tokens in both else 1.0 for tokens in propose]),
        np.array([2.0 * (tokens not in first) if tokens in both else 1.0 for tokens in confirm]),
    )


def _weighted(inversion: Inversion, times: Float[ndarray, " n"]) -> Inversion:
    weights = inversion.weights * times
    weights = weights / weights.sum() if weights.any() else weights
    pairs = zip(inversion.samples, weights.tolist(), strict=True)
    return replace(inversion, samples=tuple(replace(sample, weight=weight) for sample, weight in pairs))
