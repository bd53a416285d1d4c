"""The tokens that a generator can write: those of its prior, and one that starts and ends every input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

BOUNDARY = 0  # the generator's own token before the first and after the last token of an input
IGNORED = -100  # the target at padding, as torch's cross entropy expects


@dataclass(frozen=True)
class Vocabulary:
    """A bijection between the subject's tokens that the prior uses and 1..len; 0 is the boundary."""

    tokens: tuple[int, ...]

    @classmethod
    def of(cls, inputs: Iterable[Sequence[int]]) -> Vocabulary:
        """The vocabulary of these inputs (subject's tokens)."""
        return cls(tuple(sorted({token for tokens in inputs for token in tokens})))

    def __len__(self) -> int:
        return len(self.tokens) + 1

    def encode(self, inputs: Sequence[Sequence[int]]) -> Int[Tensor, "inputs positions"]:
        """Inputs as rows of the generator's tokens: the boundary, the input, the boundary, then IGNORED."""
        index = {token: position for position, token in enumerate(self.tokens, start=1)}
        rows = torch.full((len(inputs), max(map(len, inputs)) + 2), IGNORED)
        for row, tokens in zip(rows, inputs, strict=True):
            row[: len(tokens) + 2] = torch.tensor([BOUNDARY, *(index[token] for token in tokens), BOUNDARY])
        return rows

    def decode(self, rows: Int[Tensor, "inputs positions"]) -> list[tuple[int, ...] | None]:
        """The subject's tokens of each row up to the boundary; None where the row never ends or is empty."""
        return [self._decode_row(row) for row in rows.tolist()]

    def _decode_row(self, row: list[int]) -> tuple[int, ...] | None:
        if BOUNDARY not in row:
            return None
        return tuple(self.tokens[token - 1] for token in row[: row.index(BOUNDARY)]) or None
