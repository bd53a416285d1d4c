"""A feature with its labels in the inputs of a run, as the numbers that scores are computed from.

Dimensions: `targets`, `pool` inputs, `known` inputs, `inputs` of the reference: both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float, Int
from numpy import ndarray

from inversescope.collect.inputs import KnownInputs
from inversescope.score.feature import PriorLabels, others_chance
from inversescope.stats.labels import encode


@dataclass(frozen=True)
class Feature:
    """One feature: its values, their codes in the targets and the inputs of the reference, and the prior's shares.

    Attributes:
        pool: codes of the pool's inputs.
        probability: of the inputs of the reference; of a pool of draws, all alike.
        known: codes of the known inputs, behind those of the pool in the reference.
    """

    name: str
    values: list[str]
    targets: Int[ndarray, " targets"]
    pool: Int[ndarray, " pool"]
    probability: Float[ndarray, " inputs"]
    known: Int[ndarray, " known"] = field(default_factory=lambda: np.empty(0, dtype=int))
    prior: PriorLabels = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "prior", PriorLabels.of(self.reference, self.probability, len(self.values)))

    @property
    def reference(self) -> Int[ndarray, " inputs"]:
        """Codes of the inputs of the reference: the pool's, and behind them the known ones."""
        return np.concatenate((self.pool, self.known))

    def others_chance(self, mass: Float[ndarray, " targets"]) -> Float[ndarray, " targets"]:
        """The prior's share of each target's own label among inputs other than its source, which has a share `mass`."""
        decided = float(self.probability[self.reference >= 0].sum())
        return others_chance(self.prior.chance(self.targets), decided, mass)


def read_features(
    inputs: pa.Table,
    samples: pa.Table,
    probability: Float[ndarray, " pool"],
    names: Sequence[str] | None = None,
    known: KnownInputs | None = None,
) -> list[Feature]:
    """The features, their values numbered alike in the pool, the targets and the samples.

    Args:
        names: default all.
        known: inputs that are in the reference beside the pool.
    """
    if names is None:
        names = [name.removeprefix("label.") for name in inputs.column_names if name.startswith("label.")]
    features, rows = [], [] if known is None else known.places(inputs)
    shares = probability if known is None else known.shares
    for name in names:
        column = f"label.{name}"
        seen = {*inputs[column].unique().to_pylist(), *samples[column].unique().to_pylist()} - {None}
        values = sorted(seen)
        split = {key: inputs.filter(pc.field("split") == key).sort_by("row") for key in ("pool", "target")}
        if values:
            pool, target = (encode(split[key][column].to_pylist(), values) for key in ("pool", "target"))
            labels = inputs[column].take(rows).to_pylist() if rows else []
            features.append(Feature(name, values, target, pool, shares, encode(labels, values)))
    return features
