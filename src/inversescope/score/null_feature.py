"""Null feature: a hash of the input's tokens, scored like any feature. It means nothing, so that only inputs equal to
the source share its label for a reason: where it is above chance, every feature is.

It has as many equally likely labels as the run's features have in the median, so that its chance level is like theirs.
A hash with more labels has a lower chance level and passes earlier than the features beside it; one with fewer, later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np
import pyarrow as pa

from inversescope.records import LABEL
from inversescope.score.feature import PriorLabels
from inversescope.tasks import Tokens
from inversescope.verdicts import NULL_FEATURE

FEWEST = 2  # labels


def classes(features: Iterable[PriorLabels]) -> int:
    """Number of labels: the median over the features of 1 / Σp², the equally likely labels of the same chance level."""
    alike = [1 / float((prior.shares**2).sum()) for prior in features if len(prior.shares)]
    return max(FEWEST, round(float(np.median(alike)))) if alike else FEWEST


def label(tokens: Tokens, count: int, salt: int = 0) -> str:
    """One of `count` labels; each `salt` gives another hash."""
    digest = blake2b(f"{salt} {' '.join(map(str, tokens))}".encode(), digest_size=8).digest()
    return str(int.from_bytes(digest, "big") % count)


def with_null_feature(table: pa.Table, count: int, salt: int) -> pa.Table:
    """The table of inputs or samples with the labels of the null feature; null where there are no tokens."""
    of_tokens = lru_cache(maxsize=None)(lambda tokens: label(tokens, count, salt))
    rows: Sequence[list[int] | None] = table["tokens"].to_pylist()
    labels = [None if tokens is None else of_tokens(tuple(tokens)) for tokens in rows]
    return table.append_column(f"{LABEL}{NULL_FEATURE}", pa.array(labels, pa.string()))
