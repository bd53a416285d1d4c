"""Quality of the samples as inputs: distinct, alike, near to the training inputs, distinguishable from real ones.

Everything stands beside the same for real inputs of the same neighbourhood: the pool's, resampled by the kernel.
Dimensions: `pool` inputs, `targets`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float
from numpy import ndarray
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist, cpdist

from inversescope.score.pool import SitePool
from inversescope.sites import Site
from inversescope.stats import intervals
from inversescope.stats.intervals import defined, fields
from inversescope.stats.two_sample import classifier_test
from inversescope.stats.weights import effective_sample_size, systematic
from inversescope.streams import Stream
from inversescope.tasks import Tokens
from inversescope.verdicts import TRUSTED

COMPARED = 32  # inputs of a target that the classifier sees of each side, at most
LOOKED_UP = 128  # inputs of a site and bandwidth whose nearest training input is looked for
ROWS = 256  # inputs compared with all training inputs at once
_FIRST = 0x10000  # from here on, every number is a character: a token sequence as a string, which compares fast


class Quality:
    """Comparison of samples with inputs of the reference (`pool`), and of both with the training inputs."""

    def __init__(
        self,
        pool: Sequence[Tokens],
        train: Iterable[Tokens],
        seed: int,
    ):
        self.pool = pool
        self.train = set(train)
        self.seed = seed
        self._known = sorted(map(_spell, self.train))
        self._nearest: dict[Tokens, float] = {}

    def rows(self, site: Site, table: pa.Table, pool: SitePool) -> Iterator[dict[str, Any]]:
        """One row for each bandwidth at which the site was sampled."""
        enough = 0.0 if pool.exact else TRUSTED  # effective sample size from which the pool has real neighbours
        for h in sorted(table["bandwidth"].unique().to_pylist()):
            at_bandwidth, rng = table.filter(pc.field("bandwidth") == h), Stream.QUALITY.rng(self.seed)
            weights = np.nan_to_num(at_bandwidth["weight"].to_numpy(zero_copy_only=False)).reshape(
                pool.distances.shape[1], -1
            )
            draws = weights.shape[1]
            tokens = [None if row is None else tuple(row) for row in at_bandwidth["tokens"].to_pylist()]
            by_target = [tokens[start : start + draws] for start in range(0, len(tokens), draws)]
            drawn = [[x for x in of_target if x is not None] for of_target in by_target]
            neighbours = pool.posterior[h]
            near = effective_sample_size(neighbours) >= enough
            # Of a pool of draws, which stand for more inputs than there are, independent ones would repeat too often.
            pick = _drawn if pool.exact else _resampled
            real = [
                pick(of_target, self.pool, draws, rng) if many else []
                for of_target, many in zip(neighbours, near, strict=True)
            ]
            kept = at_bandwidth["left_out"].is_null().to_numpy(zero_copy_only=False).reshape(weights.shape)[:, 0]
            usable = np.flatnonzero(near & kept).tolist()
            n = min(draws, COMPARED)
            weighted = [_resampled(weights[target], by_target[target], n, rng) for target in usable]
            auc, p_value = classifier_test(weighted, [real[target][:n] for target in usable], self.seed)
            yield {
                "site": str(site),
                "bandwidth": h,
                "distinct": _distinct(drawn),
                "pool_distinct": _distinct(real),
                **fields("similarity", _similarity(drawn)),
                **fields("pool_similarity", _similarity(real)),
                "nearest_train": self._nearest_train(drawn, rng),
                "pool_nearest_train": self._nearest_train(real, rng),
                "compared": len(usable),
                **fields("auc", auc),
                "p_value": defined(p_value),
            }

    def _nearest_train(self, inputs: Sequence[Sequence[Tokens]], rng: np.random.Generator) -> float | None:
        """The normalised edit distance to the nearest training input, median over the inputs that are none."""
        novel = sorted({x for of_target in inputs for x in of_target} - self.train)
        chosen = [novel[index] for index in rng.permutation(len(novel))[:LOOKED_UP]]
        unknown = [x for x in chosen if x not in self._nearest]
        for start in range(0, len(unknown), ROWS):
            batch = unknown[start : start + ROWS]
            distances = cdist([_spell(x) for x in batch], self._known, scorer=Levenshtein.normalized_distance)
            self._nearest |= dict(zip(batch, distances.min(1).tolist(), strict=True))
        return float(np.median([self._nearest[x] for x in chosen])) if chosen else None


def _resampled(
    weights: Float[ndarray, " inputs"], inputs: Sequence[Tokens | None], n: int, rng: np.random.Generator
) -> list[Tokens]:
    """`n` inputs by weight, in random order; an input that never ended is None and has no weight."""
    chosen = [inputs[index] for index in rng.permutation(systematic(weights, n, rng))]
    return [tokens for tokens in chosen if tokens is not None]


def _drawn(
    weights: Float[ndarray, " inputs"], inputs: Sequence[Tokens], n: int, rng: np.random.Generator
) -> list[Tokens]:
    """`n` independent draws by weight, as a generator makes them."""
    return [inputs[index] for index in rng.choice(len(inputs), n, p=weights)]


def _distinct(inputs: Sequence[Sequence[Tokens]]) -> float | None:
    """The share of the inputs of a target that are distinct, over all targets."""
    total = sum(map(len, inputs))
    return sum(len(set(of_target)) for of_target in inputs) / total if total else None


def _similarity(inputs: Sequence[Sequence[Tokens]]) -> intervals.Estimate:
    """Similarity of two inputs of one target: 1 less the share of tokens to be edited, mean over pairs and targets.

    Each input is paired with the next one, as they stand in no order.
    """
    similarity = np.full(len(inputs), np.nan)
    for target, of_target in enumerate(inputs):
        if len(of_target) > 1:
            spelled = [_spell(x) for x in of_target]
            similarity[target] = cpdist(
                spelled, spelled[1:] + spelled[:1], scorer=Levenshtein.normalized_similarity
            ).mean()
    return intervals.mean(similarity, 0, 1)


def _spell(tokens: Tokens) -> str:
    return "".join(chr(_FIRST + token) for token in tokens)
