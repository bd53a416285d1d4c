"""Divergences between the generator and the exact posterior, or the reference, at stand-ins for targets.

Dimensions: `targets` inputs of the pool in place of targets, `pool` inputs, `points` of them at which two probabilities
are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from inversescope.collect.posterior import distances, posterior, stand_ins
from inversescope.collect.store import Store
from inversescope.config import Query
from inversescope.generator import Generator
from inversescope.sample.sample import draw_from
from inversescope.sites import Site
from inversescope.stats import intervals
from inversescope.stats.weights import effective_sample_size
from inversescope.streams import Stream, TorchStream
from inversescope.tasks import Labels, Tokens
from inversescope.verdicts import Measured

POINTS = 64  # inputs at which the generator's probability is compared with the true one, for each target
PRIOR_POINTS = 2048  # the same for the prior
PERMUTATIONS = 999
COMPARED = 400  # draws, and as many inputs, in the two-sample test
_WORDS = {"clean": "clean target", "noisy": "noisy channel"}


@dataclass(frozen=True)
class Divergences:
    """Divergences at one site, bandwidth and query: a number for each target; NaN where it is undefined."""

    site: Site
    bandwidth: float
    query: Query
    exact: bool
    sizes: Float[ndarray, " targets"]  # effective sample size of the posterior or of the reference
    divergence: Float[ndarray, " targets"]  # KL(P ‖ q), nats
    variation: Float[ndarray, " targets"]  # total variation, 0 to 1
    gaps: dict[str, Float[ndarray, " targets"]]  # by feature: consistency of the draws minus the true one

    def measured(self, outside: bool) -> Measured:
        """Means over targets, with their intervals."""
        return Measured(
            where=f"h = {self.bandwidth:.3g}, {_WORDS[self.query]}",
            size=float(np.median(self.sizes)),
            divergence=intervals.mean(self.divergence),
            gaps={feature: intervals.mean(gap, -1, 1) for feature, gap in self.gaps.items()},
            exact=self.exact,
            outside=outside,
        )


class Comparison:
    """Comparison of generators with the exact posterior or the reference, at the same stand-ins for targets."""

    def __init__(
        self,
        store: Store,
        labels: Callable[[Tokens], Labels],
        targets: int,
        draws: int,
        seed: int,
        points: int = POINTS,
    ):
        self.store = store
        self.labels = labels
        self.draws = draws
        self.seed = seed
        self.points = points
        self.targets = stand_ins(store, targets, seed)
        self.pool = store.inputs("pool")
        self._cache: dict[Tokens, Labels] = {}

    def compare(
        self, generator: Generator, site: Site, bandwidth: float, query: Query, *, draw: bool = True
    ) -> Divergences:
        """Divergences of one query at every stand-in; gaps of features only with `draw`."""
        device = next(generator.parameters()).device
        rng = torch.Generator().manual_seed(TorchStream.CALIBRATION.seed(self.seed))
        activations = self.store.activations("pool", site)[self.targets].to(device)
        bandwidths = torch.full((len(activations),), bandwidth, device=device)
        if query == "noisy":
            activations = generator.channel(site).noised(activations, bandwidths, rng)
        weights = posterior(self.store, distances(self.store, site, self.targets, activations.cpu()), bandwidth)
        with torch.inference_mode():
            condition = generator.condition(site, activations, bandwidths)
        rng = torch.Generator(device).manual_seed(TorchStream.CALIBRATION.seed(self.seed))
        drawn = draw_from(generator, condition, self.draws, rng)[0] if draw else []
        gaps = self._gaps(weights, drawn) if draw else {}
        undefined = np.full(len(self.targets), np.nan)
        exact, sizes = self.store.exact, effective_sample_size(weights)
        compared = self._divergence(generator, condition, weights, self.points) if exact else (undefined, undefined)
        return Divergences(site, bandwidth, query, exact, sizes, *compared, gaps)

    def prior(self, generator: Generator) -> dict[str, float | None]:
        """Divergence (nats) and total variation of the null condition from the prior, where that is known; the p-value
        of a two-sample test of its draws against inputs of the pool.
        """
        with torch.inference_mode():
            condition = generator.no_condition(1)
        rng = torch.Generator(condition.device).manual_seed(TorchStream.CALIBRATION.seed(self.seed))
        drawn, _ = draw_from(generator, condition, COMPARED, rng)
        inputs = [self.pool.tokens[i] for i in stand_ins(self.store, COMPARED, self.seed + 1)]
        p_value = two_sample([tokens or () for tokens in drawn], inputs, self.seed)
        if not self.store.exact:
            return {"kl": None, "tv": None, "p_value": p_value}
        weights = np.exp(self.pool.log_prior)[None]
        divergence, variation = self._divergence(generator, condition, weights, PRIOR_POINTS)
        return {"kl": float(divergence[0]), "tv": float(variation[0]), "p_value": p_value}

    def _divergence(
        self,
        generator: Generator,
        condition: Tensor,
        weights: Float[ndarray, "targets pool"],
        points: int,
    ) -> tuple[Float[ndarray, " targets"], Float[ndarray, " targets"]]:
        """Unbiased estimates of KL(P ‖ q) = E_P[ln P − ln q] and of the total variation E_P[max(0, 1 − q/P)]."""
        rng = Stream.DIVERGENCE.rng(self.seed)
        samples = [sample_points(row, points, rng) for row in weights]
        target = np.repeat(np.arange(len(weights)), [len(index) for index, _ in samples])
        index = np.concatenate([index for index, _ in samples])
        share = np.concatenate([share for _, share in samples])
        rows = generator.vocabulary.encode([self.pool.tokens[i] for i in index]).to(condition.device)
        with torch.inference_mode():
            log_q = -generator.nats(rows, condition[torch.from_numpy(target)]).double().cpu().numpy()
        log_ratio = np.log(weights[target, index]) - log_q
        size = len(weights)
        return (
            np.bincount(target, share * log_ratio, size),
            np.bincount(target, share * -np.expm1(np.minimum(0, -log_ratio)), size),
        )

    def _gaps(
        self, weights: Float[ndarray, "targets pool"], drawn: Sequence[Tokens | None]
    ) -> dict[str, Float[ndarray, " targets"]]:
        """Share of draws with the target's label, minus its probability under P, by feature; NaN: undecided target.

        Undecided inputs and draws that never ended stay in the denominator, on both sides alike: unlike scores, which
        leave them out, this compares the probability of one event, and a generator that draws too many of them differs.
        """
        labels_of_draws = [{} if tokens is None else self._labels(tokens) for tokens in drawn]
        gaps = {}
        for feature, labels in self.pool.labels.items():
            pool = np.array(labels, dtype=object)
            own = pool[self.targets][:, None]
            draws = np.array([label.get(feature) for label in labels_of_draws], dtype=object).reshape(len(own), -1)
            share, exact = (draws == own).mean(1), (weights * (pool[None] == own)).sum(1)
            gaps[feature] = np.where(own[:, 0] == None, np.nan, share - exact)  # noqa: E711 - of each element
        return gaps

    def _labels(self, tokens: Tokens) -> Labels:
        if tokens not in self._cache:
            self._cache[tokens] = self.labels(tokens)
        return self._cache[tokens]


def sample_points(
    probability: Float[ndarray, " pool"], points: int, rng: np.random.Generator
) -> tuple[Int[ndarray, " points"], Float[ndarray, " points"]]:
    """Indices of about `points` inputs, and weights with which a sum over them is an unbiased estimate of the mean.

    Inputs likelier than 1/`points` are all included, with their probability; the others by systematic sampling with
    inclusion proportional to probability (Horvitz and Thompson 1952).
    """
    certain = np.zeros(len(probability), dtype=bool)
    inclusion = probability * points
    while (inclusion[~certain] > 1).any():  # each certain input leaves fewer points for the rest
        certain |= inclusion > 1
        rest = np.where(certain, 0, probability)
        inclusion = rest * max(0, points - certain.sum()) / max(rest.sum(), np.finfo(float).tiny)
    steps = np.floor(np.cumsum(np.where(certain, 0, inclusion)) + rng.random())
    index = np.flatnonzero(certain | (np.diff(steps, prepend=0) > 0))
    return index, probability[index] / np.where(certain, 1, inclusion)[index]


def two_sample(some: Sequence[Tokens], others: Sequence[Tokens], seed: int) -> float:
    """P-value of a permutation test that two sets of inputs have the same distribution.

    The statistic is the maximum mean discrepancy (Gretton et al. 2012, JMLR 13) with the kernel exp(−tokens that
    differ), position by position.
    """
    together = [*some, *others]
    length = max(map(len, together))
    rows = np.array([[*tokens, *[-1] * (length - len(tokens))] for tokens in together])
    kernel = np.exp(-(rows[:, None] != rows[None]).sum(2, dtype=float))
    np.fill_diagonal(kernel, 0)
    side = np.r_[np.full(len(some), 1 / len(some)), np.full(len(others), -1 / len(others))]
    rng = Stream.PERMUTATIONS.rng(seed)
    sides = np.stack([side, *(rng.permutation(side) for _ in range(PERMUTATIONS))])
    statistic = ((sides @ kernel) * sides).sum(1)
    return float((1 + (statistic[1:] >= statistic[0]).sum()) / (1 + PERMUTATIONS))
