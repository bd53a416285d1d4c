"""Score of the null feature for one activation: where a hash of the input is above chance, so is every hypothesis.

The score is among inputs other than the source where these are worth enough, as in `verdicts.scores`. Over many targets
one hash is enough. For one activation it may be luck: another heavy input shares the source's label once in as many
times as there are labels. So the score is the middle one of several hashes.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from inversescope.inverter import Inversion
from inversescope.score.feature import PriorLabels, has_enough
from inversescope.score.null_feature import classes, label
from inversescope.score.one_activation import ActivationScore, null_score
from inversescope.stats.labels import encode


class NullScore:
    """The null feature on the draws of one inversion, whose prior has the labels of `pool`.

    A hypothesis is compared with a hash of its own chance level, and with one of the features' level in the median.
    `propose`: the samples from which the label of a vector is chosen, as for any hypothesis about it.
    """

    def __init__(self, inversion: Inversion, features: int, pool: int, propose: Inversion | None = None):
        self._inversion = inversion
        self._features = features
        self._pool = pool
        self._propose = propose or inversion
        self._found: dict[int, ActivationScore] = {}

    @cached_property
    def score(self) -> ActivationScore:
        """The score at the chance level of the features."""
        return self._of(self._features)

    def passes(self, chance: float | None = None) -> bool:
        """True where the null feature is above chance: at the features' level, or at this one."""
        counts = [self._features, *([] if not chance else [max(2, round(1 / chance))])]
        return any(self._of(count).corrected.low > 0 for count in counts)

    @cached_property
    def _weights(self) -> Float[ndarray, " n"]:
        others = self._inversion.other_weights
        return others if has_enough(others[None])[0] else self._inversion.weights

    def _of(self, count: int) -> ActivationScore:
        if count not in self._found:
            self._found[count] = null_score(
                [sample.tokens for sample in self._inversion.samples],
                self._weights,
                lambda salt: self._propose.own_label(lambda tokens: label(tokens, count, salt)),
                count,
                float(self._pool),
                self._inversion.left_out is None,
            )
        return self._found[count]


def features_level(labels: dict[str, list[str | None]], probability: np.ndarray) -> int:
    """Labels of a hash with the chance level of the median feature, from the labels of the pool."""
    priors = []
    for of_feature in labels.values():
        values = sorted({value for value in of_feature if value is not None})
        if values:
            priors.append(PriorLabels.of(encode(of_feature, values), probability, len(values)))
    return classes(priors)
