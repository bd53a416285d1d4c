"""Labels of weighted inputs: codes, shares, entropy.

Dimensions: `targets`, `n` inputs of one target, `labels` of a feature.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray


def encode(labels: Sequence[str | None], values: Sequence[str]) -> Int[ndarray, " n"]:
    """The place of each label in `values`; −1 where it is undecided or not among them."""
    code_of = {value: code for code, value in enumerate(values)}
    return np.array([-1 if label is None else code_of.get(label, -1) for label in labels], dtype=int)


def label_shares(
    labels: Int[ndarray, "targets n"], weights: Float[ndarray, "targets n"], count: int
) -> Float[ndarray, "targets labels"]:
    """Each target's weight of each of `count` labels among its decided inputs (label −1 is undecided).

    Rows sum to one; a row is NaN where nothing decided has weight.
    """
    targets = len(labels)
    decided = labels >= 0
    cells = np.arange(targets)[:, None] * count + labels
    where = ... if decided.all() else decided
    # Without any input, bincount makes integers, and these have no NaN.
    totals = np.bincount(cells[where].ravel(), weights[where].ravel(), targets * count).astype(float)
    totals = totals.reshape(targets, count)
    sums = totals.sum(1, keepdims=True)
    return np.divide(totals, sums, out=np.full_like(totals, np.nan), where=sums > 0)


def entropy(shares: Float[ndarray, "targets labels"], size: Float[ndarray, " targets"]) -> Float[ndarray, " targets"]:
    """Entropy in bits of each row, with the Miller-Madow correction for `size` (effective) samples.

    The plug-in entropy of n samples is too small by about (K − 1) / 2n nats for K labels seen (Miller 1955). A label
    with less weight than one sample counts as that fraction of a label.
    """
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    seen = np.minimum(1, shares * size[:, None]).sum(1)
    correction = np.divide(np.maximum(seen - 1, 0), 2 * size, out=np.zeros_like(size), where=size > 0)
    return (-(shares * logs).sum(1) + correction) / np.log(2)
