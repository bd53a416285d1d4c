"""Empirical prior of a task: the rows that are given, each as likely as any other, and nothing else."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from numpy.random import Generator

from inversescope.errors import UserError
from inversescope.tasks.task import TaskSubject, Tokens


class EmpiricalPrior:
    """The methods of a task that follow from its rows.

    Attributes:
        rows: number of rows.
    """

    def __init__(self, inputs: Sequence[Tokens]):
        self._inputs = inputs
        self._counts = Counter(inputs)
        self.rows = len(inputs)

    def draw(self, n: int, rng: Generator) -> list[Tokens]:
        """The inputs of `n` rows, drawn without replacement: as many as there are rows gives every row once.

        Raises:
            UserError: `n` is more than there are rows.
        """
        if n > self.rows:
            raise UserError(
                "more inputs are requested than the prior has",
                given=n,
                allowed=f"up to {self.rows} ({len(self._counts)} of them distinct)",
                remedy="request fewer inputs or add texts",
            )
        return [self._inputs[row] for row in rng.permutation(self.rows)[:n]]

    def log_prior(self, tokens: Sequence[int]) -> float:
        """ln P(x) in nats: the share of rows that are this input; -inf for any other token sequence."""
        count = self._counts[tuple(tokens)]
        return math.log(count / self.rows) if count else -math.inf

    def enumerate(self) -> Iterator[tuple[Tokens, float]]:
        """Every distinct input with its probability P(x)."""
        for tokens, count in self._counts.items():
            yield tokens, count / self.rows

    def contrast(self, tokens: Sequence[int]) -> None:
        """None: a text has no right next token."""
        return None

    def accuracy(self, subject: TaskSubject, n: int, rng: Generator) -> None:
        """None: a text has no right answer."""
        return None
