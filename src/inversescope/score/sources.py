"""The targets' own source inputs among those of the reference: which they are, and their share of the prior.

Dimensions: `targets`, `inputs` of the reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float
from numpy import ndarray

from inversescope.collect.inputs import Inputs, KnownInputs


@dataclass(frozen=True)
class Sources:
    """Source inputs of the targets.

    Attributes:
        own: inputs with the tokens of the target's source.
        mass: share of the prior that these have in the reference; 0 for a source that it does not hold.
    """

    own: Bool[ndarray, "targets inputs"]
    mass: Float[ndarray, " targets"]

    @classmethod
    def of(cls, inputs: pa.Table, pool: Inputs, known: KnownInputs | None) -> Self:
        """From the table of all inputs, the pool, and the known inputs that stand behind it."""
        targets = _tokens(inputs.filter(pc.field("split") == "target").sort_by("row"))
        behind = [] if known is None else _tokens(inputs.take(known.places(inputs)))
        shares = pool.probability if known is None else known.shares
        number: dict[tuple[int, ...], int] = {}
        codes = np.array([number.setdefault(tokens, len(number)) for tokens in (*pool.tokens, *behind)], dtype=int)
        own = codes[None] == np.array([number.get(tokens, -1) for tokens in targets])[:, None]
        return cls(own, own @ shares)


def _tokens(inputs: pa.Table) -> list[tuple[int, ...]]:
    return [tuple(row) for row in inputs["tokens"].to_pylist()]
