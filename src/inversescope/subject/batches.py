"""Batches that go through the subject together: inputs by length, padded, or rows of shared prefixes (`packing`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from inversescope.subject.packing import Row, ancestry, distinct_prefixes, pack, padded

# Long enough that few prefixes are repeated, short enough that the mask of a row (its square) stays small.
ROW_NODES = 256
# A packed row costs more per token than a padded batch (85% of the speed was measured), so sharing must save more.
WORTHWHILE = 0.8
# Large enough that a batch is limited by arithmetic, small enough for the caches of a CPU; on a GPU its hidden states
# have a bounded size, whatever the width (docs/lab/cuda.md).
_BATCH_TOKENS = {"cpu": 1024, "cuda": 65_536}
_BATCH_NUMBERS = 2**26


def batch_tokens(device: torch.device, width: int) -> int:
    """Tokens, padding included, that go through a model of this width on this device at once, if memory suffices."""
    return min(_BATCH_TOKENS.get(device.type, _BATCH_TOKENS["cpu"]), _BATCH_NUMBERS // width)


@dataclass(frozen=True)
class Batch:
    """One pass through the subject, and where to read it: input `inputs[i]` ends at [`rows[i]`, `columns[i]`].

    `positions` is None where a token's position is its column.
    """

    tokens: Int[Tensor, "rows columns"]
    mask: Bool[Tensor, "rows columns"] | Bool[Tensor, "rows 1 columns columns"]
    positions: Int[Tensor, "rows columns"] | None
    inputs: Int[Tensor, " reads"]
    rows: Int[Tensor, " reads"]
    columns: Int[Tensor, " reads"]


def batches(
    inputs: Sequence[tuple[int, ...]], budget: int, *, share: bool, boundary: int | None = None
) -> Iterator[Batch]:
    """Batches of about `budget` tokens, padding included, that hold every input once.

    With `share`, prefixes are computed once where that saves enough. Inputs longer than `boundary` are with others of
    their length only.
    """
    if share and inputs and distinct_prefixes(inputs) < WORTHWHILE * sum(map(len, inputs)):
        rows = pack(inputs, min(ROW_NODES, budget))
        if sum(map(len, rows)) < WORTHWHILE * sum(map(len, inputs)):
            return _packed(rows, budget)
    return _padded(inputs, budget, boundary)


def _padded(inputs: Sequence[tuple[int, ...]], budget: int, boundary: int | None) -> Iterator[Batch]:
    """Longest first, so that memory runs out at once or not at all; padded on the right, where no token looks."""
    order = sorted(range(len(inputs)), key=lambda i: -len(inputs[i]))
    start = 0
    while start < len(order):
        longest = len(inputs[order[start]])
        chosen = order[start : start + max(1, budget // longest)]
        if boundary is not None and longest > boundary:
            chosen = [i for i in chosen if len(inputs[i]) == longest]
        start += len(chosen)
        lengths = torch.tensor([len(inputs[i]) for i in chosen])
        mask = torch.arange(int(lengths[0]))[None, :] < lengths[:, None]
        yield Batch(
            tokens=torch.from_numpy(padded([inputs[i] for i in chosen], 0)),
            mask=mask,
            positions=None,
            inputs=torch.tensor(chosen),
            rows=torch.arange(len(chosen)),
            columns=lengths - 1,
        )


def _packed(rows: list[Row], budget: int) -> Iterator[Batch]:
    size = max(1, budget // max(map(len, rows)))
    for start in range(0, len(rows), size):
        chosen = rows[start : start + size]
        reads = [(index, r, node) for r, row in enumerate(chosen) for index, node in row.reads]
        index, row, node = torch.tensor(reads).T
        # A padding node has no descendants: it sees itself, which keeps its attention defined, and none sees it.
        width = max(map(len, chosen))
        stops = np.array([[*row.stops, *range(len(row) + 1, width + 1)] for row in chosen])
        yield Batch(
            tokens=torch.from_numpy(padded([row.tokens for row in chosen], 0)),
            mask=torch.from_numpy(ancestry(stops))[:, None],
            positions=torch.from_numpy(padded([row.depths for row in chosen], 0)),
            inputs=index,
            rows=row,
            columns=node,
        )
