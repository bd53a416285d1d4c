"""Minimal pairs: inputs of the prior that differ from a target's source in one feature and agree with it in all others.

They are searched among the inputs of a run: those that were collected, and draws and edits that are in the prior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Bool, Int
from numpy import ndarray

from inversescope import files, records
from inversescope.collect.inputs import SPLITS
from inversescope.collect.store import Store
from inversescope.stats.labels import encode
from inversescope.streams import Stream
from inversescope.tasks import Tokens
from inversescope.verdicts import MOST

Row = tuple[str | None, ...]  # the label of each feature


@dataclass(frozen=True)
class MinimalPairs:
    """Inputs that are compared with the sources, in place of samples.

    Attributes:
        others: by feature, for each target the inputs that differ from its source in this feature alone. A feature is
            left out where less than half of the targets that have a label have such an input.
        equal: for each target the other inputs that agree with its source in every feature; None where the features
            identify an input, so that only the source itself does.
    """

    others: dict[str, list[list[Tokens]]]
    equal: list[list[Tokens]] | None

    @classmethod
    def of(cls, run: Path, store: Store, features: Sequence[str], most: int, seed: int) -> MinimalPairs:
        """Up to `most` inputs of each kind, in random order; of one feature alone there is nothing to agree in."""
        if len(features) < 2:
            return cls({}, None)
        collected, drawn = _collected(store, features), _drawn(run, features)
        inputs = [*collected, *(x for x in drawn if x not in collected)]
        rows, targets = [collected.get(x) or drawn[x] for x in inputs], store.inputs("target").tokens
        codes = _codes(rows)
        sources = codes[[inputs.index(x) for x in targets]]

        def chosen(target: int, matching: Bool[ndarray, " inputs"]) -> list[Tokens]:
            """The matching inputs in random order; drawn ones only where none is collected."""
            matching[inputs.index(targets[target])] = False
            places = np.flatnonzero(matching)
            stored = places[places < len(collected)]
            order = Stream.DONORS.rng(seed, target).permutation(stored if len(stored) else places)
            return [inputs[place] for place in order[:most]]

        agree = [codes == source for source in sources]
        others = {}
        for number, name in enumerate(features):
            rest = [np.delete(same, number, axis=1).all(1) for same in agree]
            differ = [(codes[:, number] >= 0) & (codes[:, number] != source[number]) for source in sources]
            decided = sources[:, number] >= 0
            found = [
                chosen(target, rest[target] & differ[target]) if decided[target] else [] for target in range(len(agree))
            ]
            if any(found) and sum(map(bool, found)) >= MOST * decided.sum():
                others[name] = found
        identified = len(set(rows)) == len(rows)
        equal = None if identified else [chosen(target, same.all(1)) for target, same in enumerate(agree)]
        return cls(others, equal)


def _collected(store: Store, features: Sequence[str]) -> dict[Tokens, Row]:
    """The labels of every input that was collected."""
    rows: dict[Tokens, Row] = {}
    for split in SPLITS:
        inputs = store.inputs(split)
        rows |= zip(inputs.tokens, zip(*(inputs.labels[name] for name in features), strict=True), strict=True)
    return rows


def _drawn(run: Path, features: Sequence[str]) -> dict[Tokens, Row]:
    """The labels of the draws and edits that the prior has; none where its probabilities are not known."""
    columns = [f"{records.LABEL}{name}" for name in features]
    path = run / records.verify.SAMPLES.path
    if not set(columns) <= set(pq.read_schema(files.verified(path)).names):
        return {}
    known = pc.field("verified") & pc.field("log_prior").is_valid() & (pc.field("log_prior") > -np.inf)
    table = files.read_table(path, columns=["tokens", *columns], filters=known)
    labels = zip(*(table[column].to_pylist() for column in columns), strict=True)
    return dict(zip(map(tuple, table["tokens"].to_pylist()), labels, strict=True))


def _codes(rows: Sequence[Row]) -> Int[ndarray, "n features"]:
    """Equal numbers where labels are equal; -1 where undecided."""
    columns = list(zip(*rows, strict=True))
    return np.stack([encode(column, sorted({x for x in column if x is not None})) for column in columns], 1)
