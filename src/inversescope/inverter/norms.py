"""Norm of a vector beside those of the activations of the prior's inputs at its site."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from inversescope.verdicts.wording import number

LOW, HIGH = 0.05, 0.95  # of the inputs of the pool


class Norms(NamedTuple):
    """Euclidean norm of a vector; and the 5% and 95% quantiles of those of the pool's activations."""

    vector: float
    low: float
    high: float

    @property
    def words(self) -> str:
        """The three numbers as a sentence has them."""
        stored = f"{number(self.low)} to {number(self.high)}"
        return f"norm {number(self.vector)}, where nine in ten stored inputs have {stored}"


def norms(vector: Float[Tensor, "1 d"], pool: Float[Tensor, "n d"]) -> Norms:
    """The norm of a vector beside those of stored activations."""
    stored = pool.norm(dim=1)
    return Norms(float(vector.norm()), float(stored.quantile(LOW)), float(stored.quantile(HIGH)))
