"""Prefix sharing: inputs that begin alike are laid out so that what they share is computed once.

The distinct inputs form a trie. A row holds some of its nodes in lexicographic order, so that the descendants of a node
are the run of nodes right behind it; the path from the root to the row's first input is repeated at its start. Each
node attends to its ancestors and itself, its position is its depth, and an input is read at the node where it ends.
Nothing here knows a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from jaxtyping import Bool, Int


@dataclass
class Row:
    """Nodes of the trie, one beside the other.

    Node j holds token `tokens[j]` at depth `depths[j]` (0 is a root); nodes j + 1 to `stops[j]` - 1 are its
    descendants. Each pair in `reads` is (an input's index, the node where it ends).
    """

    tokens: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    stops: list[int] = field(default_factory=list)
    reads: list[tuple[int, int]] = field(default_factory=list)
    _path: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.tokens)

    def shared(self, tokens: Sequence[int]) -> int:
        """Number of leading tokens shared with the latest input of this row."""
        path = [self.tokens[node] for node in self._path]
        return next(
            (i for i, (a, b) in enumerate(zip(path, tokens, strict=False)) if a != b), min(len(path), len(tokens))
        )

    def add(self, index: int, tokens: Sequence[int], shared: int) -> None:
        """Append what the input `index` does not share; inputs must come in lexicographic order."""
        del self._path[shared:]
        for depth in range(shared, len(tokens)):
            self._path.append(len(self))
            self.tokens.append(tokens[depth])
            self.depths.append(depth)
            self.stops.append(len(self))
        for node in self._path:
            self.stops[node] = len(self)
        self.reads.append((index, self._path[-1]))


def pack(inputs: Sequence[tuple[int, ...]], capacity: int) -> list[Row]:
    """Rows of at most `capacity` nodes, or of one input where that is longer, that hold every input."""
    rows: list[Row] = []
    for index in sorted(range(len(inputs)), key=lambda i: inputs[i]):
        tokens = inputs[index]
        shared = rows[-1].shared(tokens) if rows else 0
        if not rows or len(rows[-1]) + len(tokens) - shared > capacity:
            rows.append(Row())
            shared = 0
        rows[-1].add(index, tokens, shared)
    return rows


def distinct_prefixes(inputs: Sequence[tuple[int, ...]]) -> int:
    """Number of nodes of the trie, which no packing can go below; found much faster than the rows."""
    tokens = padded(inputs, -1)
    tokens = tokens[np.lexsort(tokens.T[::-1])]
    same = (tokens[1:] == tokens[:-1]) & (tokens[1:] >= 0)
    return sum(map(len, inputs)) - int(np.logical_and.accumulate(same, axis=1).sum())


def padded(rows: Sequence[Sequence[int]], fill: int) -> Int[np.ndarray, "rows columns"]:
    """The rows as one table, filled up on the right."""
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    table = np.full((len(rows), lengths.max()), fill, dtype=np.int64)
    values = np.fromiter(chain.from_iterable(rows), np.int64, int(lengths.sum()))
    table[np.arange(table.shape[1]) < lengths[:, None]] = values
    return table


def ancestry(stops: Int[np.ndarray, "rows nodes"]) -> Bool[np.ndarray, "rows nodes nodes"]:
    """Attention mask: [r, i, j] is true where node j is an ancestor of node i, or i itself."""
    node = np.arange(stops.shape[1])
    return (node[None, :] <= node[:, None]) & (node[:, None] < stops[:, None, :])
