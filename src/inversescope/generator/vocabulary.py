"""Vocabulary of a generator: the phrases of its prior, and a boundary that starts and ends every input."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Int
from torch import Tensor

BOUNDARY = 0  # token before the first and after the last phrase of an input
IGNORED = -100  # the target at padding, as torch's cross entropy expects
_EDGE = -1  # before and after every input, where followers are counted
CERTAIN = 32  # occurrences with one and the same follower before the follower is taken for certain


@dataclass(frozen=True)
class Vocabulary:
    """A bijection between the phrases of a prior and 1..len; 0 is the boundary.

    A phrase is a token of the subject and the tokens that always follow it: where the prior leaves no choice, there is
    nothing to learn and nothing to draw. The first tokens of all phrases differ.
    """

    phrases: tuple[tuple[int, ...], ...]
    prefix: tuple[int, ...] = ()  # tokens that every input starts with; left out of rows, put back by `decode`

    @classmethod
    def of(cls, inputs: Collection[Sequence[int]]) -> Vocabulary:
        """Vocabulary of these inputs (the subject's tokens)."""
        follows: dict[int, Counter[int]] = defaultdict(Counter)
        for tokens in inputs:
            for token, following in pairwise((_EDGE, *tokens, _EDGE)):
                follows[token][following] += 1

        def certain(token: int) -> Iterator[int]:
            while len(follows[token]) == 1 and follows[token].total() >= CERTAIN:
                (token,) = follows[token]
                if token == _EDGE:
                    return
                yield token

        prefix = tuple(certain(_EDGE))
        phrases = {token: (token, *certain(token)) for token in follows if token != _EDGE}
        used = {token for tokens in inputs for token in _starts(tokens[len(prefix) :], phrases)}
        return cls(tuple(phrases[token] for token in sorted(used)), prefix)

    def __len__(self) -> int:
        return len(self.phrases) + 1

    def encode(self, inputs: Sequence[Sequence[int]]) -> Int[Tensor, "inputs positions"]:
        """Inputs as rows of phrase numbers between two boundaries, padded with IGNORED."""
        phrases = {phrase[0]: phrase for phrase in self.phrases}
        index = {first: position for position, first in enumerate(phrases, start=1)}
        written = [[index[token] for token in _starts(tokens[len(self.prefix) :], phrases)] for tokens in inputs]
        rows = torch.full((len(inputs), max(map(len, written)) + 2), IGNORED)
        for row, tokens in zip(rows, written, strict=True):
            row[: len(tokens) + 2] = torch.tensor([BOUNDARY, *tokens, BOUNDARY])
        return rows

    def decode(self, rows: Int[Tensor, "inputs positions"]) -> list[tuple[int, ...] | None]:
        """The subject's tokens of each row up to the boundary; None where the row never ends or is empty."""
        return [self._decode_row(row) for row in rows.tolist()]

    def _decode_row(self, row: list[int]) -> tuple[int, ...] | None:
        if BOUNDARY not in row:
            return None
        phrases = (self.phrases[token - 1] for token in row[: row.index(BOUNDARY)])
        return (*self.prefix, *(token for phrase in phrases for token in phrase)) or None


def _starts(tokens: Sequence[int], phrases: dict[int, tuple[int, ...]]) -> Iterator[int]:
    """The first token of each phrase of an input."""
    position = 0
    while position < len(tokens):
        phrase = phrases[tokens[position]]
        assert tuple(tokens[position : position + len(phrase)]) == phrase
        yield phrase[0]
        position += len(phrase)
