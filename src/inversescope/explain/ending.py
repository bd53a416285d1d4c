"""Control `same ending` for one activation: inputs of the prior with the source's last tokens, near in text alone.

A feature that draws near in activation share more than these inputs do is more than the text near the position.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from inversescope.collect.bandwidths import Remaining
from inversescope.explain.prior import Hypothesis
from inversescope.run.run import Run
from inversescope.score.feature import PriorLabels, has_enough
from inversescope.score.one_activation import score_activation
from inversescope.score.same_ending import SameEnding, read_bits
from inversescope.sites import Site
from inversescope.stats.intervals import Estimate
from inversescope.stats.labels import encode
from inversescope.tasks import Tokens


class Ending(NamedTuple):
    """Inputs of the prior with the source's last `length` tokens.

    `weights`: their probabilities, 0 for all other inputs; `own`: the source itself.
    """

    length: int
    weights: Float[ndarray, " inputs"]
    own: Bool[ndarray, " inputs"]

    def score(self, hypothesis: Hypothesis, labels: Sequence[str | None]) -> Estimate:
        """The corrected score of a hypothesis among those other than the source.

        `labels`: the feature's, of the inputs of the reference.
        """
        values = list(dict.fromkeys([*hypothesis.shares, hypothesis.value]))
        shares = np.array([hypothesis.shares.get(value, 0.0) for value in values])
        others, prior = np.where(self.own, 0.0, self.weights), PriorLabels(shares, float(hypothesis.decided))
        codes, own = encode(labels, values), values.index(hypothesis.value)
        return score_activation(codes, others, own, prior, True).corrected


class Endings:
    """The control at the levels of a run's sites.

    `tokens`, `probability`: inputs of the prior, with their share of it.
    """

    def __init__(self, run: Run, tokens: Sequence[Tokens], probability: Float[ndarray, " inputs"]):
        self._run, self._tokens, self._probability = run, tokens, probability

    def of(self, source: Tokens | None, site: Site, bandwidth: float) -> Ending | None:
        """The shortest ending of the source that leaves as little of the prior as the level of the site does; None for
        a vector, and where nothing remains at the level or too few other inputs have the ending.
        """
        if source is None or (bits := self._bits(site, bandwidth)) is None:
            return None
        tokens, probability = self._tokens, self._probability
        own = np.array([row == source for row in tokens])
        control = SameEnding.of([source], tokens, probability, own[None])
        length = int(control.lengths(2**-bits)[0])
        weights = probability * (control.shared[0] >= length)
        enough = has_enough(np.where(own, 0.0, weights)[None])[0]
        return Ending(length, weights, own) if enough else None

    def _bits(self, site: Site, bandwidth: float) -> float | None:
        """Bits that are kept at a bandwidth; None where the pool does not show them."""
        run = self._run
        if (known := self._known.get(site, {}).get(bandwidth)) is not None:
            return known
        share = Remaining.of(run.store, run.task, site, run.seed).share(bandwidth)
        return -float(np.log2(share)) if share > 0 else None

    @cached_property
    def _known(self) -> dict[Site, dict[float, float]]:
        return read_bits(self._run.folder)
