"""Control `same ending`: inputs of the prior that share the last k tokens with the target's source, and nothing else.

A site at which one input in N of the prior remains is compared with a text of which as little remains: k is the length
of the shortest ending that at most one other input in N has. A feature above this control is more than the text near
the position that is read. The source is among the inputs as it is in the reference's posterior; a target whose ending
too few other inputs have is left out.

Dimensions: `targets`, `inputs` of the reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from inversescope import files, records
from inversescope.score.feature import has_enough
from inversescope.score.labelled_feature import Feature
from inversescope.score.methods_and_controls import WeightedInputs
from inversescope.sites import Site
from inversescope.tasks import Tokens
from inversescope.verdicts import SAME_ENDING

ROUNDING = 1e-9  # of shares of the prior


@dataclass(frozen=True)
class SameEnding:
    """Inputs of the reference, and the lengths of the endings that they share with the targets' sources.

    Attributes:
        shared: number of last tokens that an input has in common with a source.
        own: inputs that are the target's own source.
        probability: share of the prior of each input.
    """

    shared: Int[ndarray, "targets inputs"]
    own: Bool[ndarray, "targets inputs"]
    probability: Float[ndarray, " inputs"]

    @classmethod
    def of(
        cls,
        sources: Sequence[Tokens],
        inputs: Sequence[Tokens],
        probability: Float[ndarray, " inputs"],
        own: Bool[ndarray, "targets inputs"],
    ) -> Self:
        """From the targets' sources and the inputs of the reference."""
        longest = max(map(len, [*sources, *inputs]), default=0)
        before, backwards = _backwards(sources, longest, -1), _backwards(inputs, longest, -2)
        shared = np.array([(backwards == row).cumprod(1).sum(1) for row in before]).reshape(own.shape)
        return cls(shared, own, probability)

    def lengths(self, most: float) -> Int[ndarray, " targets"]:
        """Length of the shortest ending of each target that at most this share of the other inputs has."""
        longest, others = int(self.shared.max(initial=0)), np.where(self.own, 0.0, self.probability)
        counts = [np.bincount(*row, minlength=longest + 1) for row in zip(self.shared, others, strict=True)]
        having = np.array(counts)[:, ::-1].cumsum(1)[:, ::-1]  # by length: share of inputs with an ending so long
        return (having > most * having[:, :1] + ROUNDING).sum(1)

    def inputs(self, site: Site, bandwidth: float, bits: float, features: Sequence[Feature]) -> WeightedInputs:
        """The inputs with the same ending as each target, weighted by their share of the prior, at a level of a site
        at which so many bits are kept.
        """
        lengths = self.lengths(2**-bits)
        weights = self.probability * (self.shared >= lengths[:, None])
        enough = has_enough(np.where(self.own, 0.0, weights))
        labels = {feature.name: np.broadcast_to(feature.reference, weights.shape) for feature in features}
        ending = float(np.median(lengths[enough])) if enough.any() else None
        return WeightedInputs(
            SAME_ENDING, site, bandwidth, labels, weights, kept=enough, source=self.own, ending=ending
        )

    def at_levels(
        self, site: Site, bits: Mapping[float, float], features: Sequence[Feature]
    ) -> Iterator[WeightedInputs]:
        """The control at every level of a site, from the bits that are kept at its bandwidths."""
        for bandwidth, kept in bits.items():
            yield self.inputs(site, bandwidth, kept, features)


def read_bits(run: Path) -> dict[Site, dict[float, float]]:
    """Bits that are kept at each site and bandwidth, −log2 of the share of the prior that remains, where known."""
    found: dict[Site, dict[float, float]] = {}
    for row in files.read_table(run / records.collect.BANDWIDTHS.path).to_pylist():
        if row["bits"] is not None:
            found.setdefault(Site.parse(row["site"]), {})[row["bandwidth"]] = row["bits"]
    return found


def _backwards(inputs: Sequence[Tokens], longest: int, missing: int) -> Int[ndarray, "n longest"]:
    """Tokens of each input from the last to the first."""
    rows = np.full((len(inputs), longest), missing)
    for row, tokens in zip(rows, inputs, strict=True):
        row[: len(tokens)] = tokens[::-1]
    return rows
