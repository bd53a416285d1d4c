"""Labels of the miner's candidates in every input, and the samples as places among these inputs.

Dimensions: `candidates`, `targets`, `n` samples of a target, `inputs` that are distinct in text and labels, `pool`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from inversescope.features.candidates import RARE, Candidate, candidates
from inversescope.score.feature import PriorLabels, without_source

DECIDED = 0.5  # share of the pool that a candidate must decide

Row = tuple[str | None, ...]  # the text of an input, and its labels
Reader = Callable[[Row], str | None]


@dataclass(frozen=True)
class Labelled:
    """The candidates that vary over the prior, with the code of each one's label of every distinct input.

    `codes` are −1 where undecided. `pool` and `targets` are places among the inputs; `probability` is of the pool's.
    `same`: for each candidate those that part the pool alike, and are less simple.
    """

    candidates: list[Candidate]
    same: list[list[str]]
    codes: Int[ndarray, "candidates inputs"]
    pool: Int[ndarray, " pool"]
    probability: Float[ndarray, " pool"]
    targets: Int[ndarray, " targets"]
    tried: int
    prior: list[PriorLabels] = field(init=False)

    def __post_init__(self) -> None:
        prior = [PriorLabels.of(codes[self.pool], self.probability, int(codes.max()) + 1) for codes in self.codes]
        object.__setattr__(self, "prior", prior)


@dataclass(frozen=True)
class Drawn:
    """The samples of every target at a site and bandwidth: places among the inputs, and weights (0: unverified, or
    drawn before); `kept`: targets that count; `source`: samples that are the target's own source input.
    """

    places: Int[ndarray, "targets n"]
    weights: Float[ndarray, "targets n"]
    kept: Bool[ndarray, " targets"]
    source: Bool[ndarray, "targets n"]

    def of(self, targets: Bool[ndarray, " targets"]) -> Drawn:
        """The samples of some of the targets."""
        return Drawn(self.places[targets], self.weights[targets], self.kept[targets], self.source[targets])

    @property
    def others(self) -> Drawn:
        """The samples other than the source."""
        weights, enough = without_source(self.weights, self.source)
        return replace(self, weights=weights, kept=self.kept & enough)


class Texts:
    """The inputs of several tables that are distinct in text or labels, numbered as they come."""

    def __init__(self, tables: Sequence[pa.Table]):
        self.labels = [name for name in tables[0].column_names if name.startswith("label.")]
        self.numbers: dict[Row, int] = {}
        for table in tables:
            self.places(table)

    def places(self, table: pa.Table) -> Int[ndarray, " rows"]:
        """The number of each row; a sample that never ended has one too."""
        rows = zip(*(table[name].to_pylist() for name in ("text", *self.labels)), strict=True)
        numbers = self.numbers
        return np.array([numbers.setdefault(row, len(numbers)) for row in rows], dtype=int)


def label_candidates(texts: Texts, inputs: dict[str, pa.Table], probability: Float[ndarray, " pool"]) -> Labelled:
    """Every candidate's labels, without candidates that vary too little over the pool; of those that part it alike,
    only the simplest.
    """
    pool, targets = texts.places(inputs["pool"]), texts.places(inputs["target"])
    distinct, rows, inverse = list(texts.numbers), *np.unique(pool, return_inverse=True)
    seen = [distinct[row] for row in rows]
    kept: dict[bytes, tuple[Candidate, Reader, list[str]]] = {}  # by how they part the pool
    tried = 0
    for candidate, reader in _all(texts, inputs["pool"]["text"].to_pylist()):
        tried += 1
        codes = _codes(map(reader, seen))
        if not _varies(codes[inverse], probability):
            continue
        if codes.tobytes() in kept:
            kept[codes.tobytes()][2].append(candidate.source)
        else:
            kept[codes.tobytes()] = (candidate, reader, [])
    candidates = list(kept.values())
    codes = np.array([_codes(map(reader, distinct)) for _, reader, _ in candidates], dtype=int)
    names, same = [candidate for candidate, _, _ in candidates], [same for _, _, same in candidates]
    return Labelled(names, same, codes.reshape(len(candidates), len(distinct)), pool, probability, targets, tried)


def _all(texts: Texts, pool: Sequence[str]) -> Iterator[tuple[Candidate, Reader]]:
    """The task's own features, and every expression, with what gives the label of an input."""
    for index, name in enumerate(texts.labels, start=1):
        feature = name.removeprefix("label.")
        yield Candidate(feature, f"the task's “{feature}”"), itemgetter(index)
    for candidate in candidates(pool):
        label = candidate.label
        yield candidate, lambda row, label=label: None if row[0] is None else label(row[0])


def _codes(labels: Iterable[str | None]) -> Int[ndarray, " n"]:
    """Labels numbered as they first come; −1 where undecided."""
    numbers: dict[str | None, int] = {None: -1}
    return np.array([numbers.setdefault(label, len(numbers) - 1) for label in labels], dtype=int)


def _varies(codes: Int[ndarray, " pool"], probability: Float[ndarray, " pool"]) -> bool:
    """True for a candidate that decides enough of the pool, and has two labels that are not rare."""
    decided = codes >= 0
    if probability[decided].sum() < DECIDED * probability.sum():
        return False
    shares = np.sort(PriorLabels.of(codes, probability, int(codes.max()) + 1).shares)
    return len(shares) > 1 and bool(shares[-2] >= RARE)


def read_draws(table: pa.Table, texts: Texts, targets: int) -> Drawn:
    """The samples of a site and bandwidth, which stand sorted by target, as many of each."""
    weights = np.nan_to_num(table["weight"].to_numpy(zero_copy_only=False).astype(float))
    kept = table["left_out"].is_null().to_numpy(zero_copy_only=False).reshape(targets, -1)[:, 0]
    source = table["source"].to_numpy(zero_copy_only=False).astype(bool).reshape(targets, -1)
    return Drawn(texts.places(table).reshape(targets, -1), weights.reshape(targets, -1), kept, source)
