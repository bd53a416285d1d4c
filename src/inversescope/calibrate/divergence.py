"""Questions to a generator about stand-ins for targets, and how far its answers are from the truth or the reference.

Dimensions: `targets` inputs that stand in for targets, `pool` inputs, `chosen` of them at which two probabilities are
compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from inversescope.collect.collect import Store
from inversescope.collect.posterior import distances, log_prior, posterior, stand_ins
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
PRIOR_POINTS = 2048  # the same for the prior, which is one question
PERMUTATIONS = 999
COMPARED = 400  # draws and inputs of the two-sample test
_WORDS = {"clean": "clean target", "noisy": "noisy channel"}


@dataclass(frozen=True)
class Answer:
    """How the generator answers one kind of question: a number for each target; NaN where it is undefined."""

    site: Site
    bandwidth: float
    query: Query
    exact: bool
    sizes: Float[ndarray, " targets"]  # effective sample size of the truth or of the reference
    divergence: Float[ndarray, " targets"]  # nats
    variation: Float[ndarray, " targets"]
    gaps: dict[str, Float[ndarray, " targets"]]  # by feature: consistency of the draws minus the true one

    def measured(self, outside: bool) -> Measured:
        """The means over targets, with their intervals."""
        return Measured(
            where=f"h = {self.bandwidth:.3g}, {_WORDS[self.query]}",
            size=float(np.median(self.sizes)),
            divergence=intervals.mean(self.divergence),
            gaps={feature: intervals.mean(gap, -1, 1) for feature, gap in self.gaps.items()},
            exact=self.exact,
            outside=outside,
        )


class Calibration:
    """Asks a generator about stand-ins for targets, and compares."""

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
        self._known: dict[Tokens, Labels] = {}

    def ask(self, generator: Generator, site: Site, bandwidth: float, query: Query, *, draw: bool = True) -> Answer:
        """One kind of question about every stand-in; features are compared where inputs are drawn."""
        device = next(generator.parameters()).device
        rng = torch.Generator().manual_seed(TorchStream.CALIBRATION.seed(self.seed))
        activations = self.store.activations("pool", site)[self.targets].to(device)
        bandwidths = torch.full((len(activations),), bandwidth, device=device)
        if query == "noisy":
            activations = generator.neighbourhood(site).noised(activations, bandwidths, rng)
        weights = posterior(self.store, distances(self.store, site, self.targets, activations.cpu()), bandwidth)
        with torch.inference_mode():
            condition = generator.condition(site, activations, bandwidths)
        rng = torch.Generator(device).manual_seed(TorchStream.CALIBRATION.seed(self.seed))
        drawn = draw_from(generator, condition, self.draws, rng)[0] if draw else []
        gaps = self._gaps(weights, drawn) if draw else {}
        undefined = np.full(len(self.targets), np.nan)
        exact, sizes = self.store.exact, effective_sample_size(weights)
        compared = self._divergence(generator, condition, weights, self.points) if exact else (undefined, undefined)
        return Answer(site, bandwidth, query, exact, sizes, *compared, gaps)

    def prior(self, generator: Generator) -> dict[str, float | None]:
        """The null condition beside the prior: divergence in nats and total variation where the prior is known, and
        the p-value of a two-sample test of its draws against inputs of the pool.
        """
        with torch.inference_mode():
            condition = generator.no_condition(1)
        rng = torch.Generator(condition.device).manual_seed(TorchStream.CALIBRATION.seed(self.seed))
        drawn, _ = draw_from(generator, condition, COMPARED, rng)
        inputs = [self.pool.tokens[place] for place in stand_ins(self.store, COMPARED, self.seed + 1)]
        p_value = two_sample([tokens or () for tokens in drawn], inputs, self.seed)
        if not self.store.exact:
            return {"kl": None, "tv": None, "p_value": p_value}
        weights = np.exp(log_prior(self.store))[None]
        divergence, variation = self._divergence(generator, condition, weights, PRIOR_POINTS)
        return {"kl": float(divergence[0]), "tv": float(variation[0]), "p_value": p_value}

    def _divergence(
        self,
        generator: Generator,
        condition: Tensor,
        weights: Float[ndarray, "targets pool"],
        points: int,
    ) -> tuple[Float[ndarray, " targets"], Float[ndarray, " targets"]]:
        """KL(P ‖ q) = E_P[ln P − ln q] and total variation = E_P[max(0, 1 − q/P)], both unbiased."""
        rng = Stream.DIVERGENCE.rng(self.seed)
        chosen = [inclusion(row, points, rng) for row in weights]
        target = np.repeat(np.arange(len(weights)), [len(places) for places, _ in chosen])
        places = np.concatenate([places for places, _ in chosen])
        share = np.concatenate([share for _, share in chosen])
        rows = generator.vocabulary.encode([self.pool.tokens[place] for place in places]).to(condition.device)
        with torch.inference_mode():
            log_q = -generator.nats(rows, condition[torch.from_numpy(target)]).double().cpu().numpy()
        log_ratio = np.log(weights[target, places]) - log_q
        size = len(weights)
        return (
            np.bincount(target, share * log_ratio, size),
            np.bincount(target, share * -np.expm1(np.minimum(0, -log_ratio)), size),
        )

    def _gaps(
        self, weights: Float[ndarray, "targets pool"], drawn: Sequence[Tokens | None]
    ) -> dict[str, Float[ndarray, " targets"]]:
        """For each feature and target, how much oftener the draws share its label than P does; NaN: undecided."""
        read = [{} if tokens is None else self._labels(tokens) for tokens in drawn]
        gaps = {}
        for feature, labels in self.pool.labels.items():
            pool = np.array(labels, dtype=object)
            own = pool[self.targets][:, None]
            mine = np.array([label.get(feature) for label in read], dtype=object).reshape(len(own), -1)
            found, true = (mine == own).mean(1), (weights * (pool[None] == own)).sum(1)
            gaps[feature] = np.where(own[:, 0] == None, np.nan, found - true)  # noqa: E711 - of each element
        return gaps

    def _labels(self, tokens: Tokens) -> Labels:
        if tokens not in self._known:
            self._known[tokens] = self.labels(tokens)
        return self._known[tokens]


def inclusion(
    probability: Float[ndarray, " pool"], points: int, rng: np.random.Generator
) -> tuple[Int[ndarray, " chosen"], Float[ndarray, " chosen"]]:
    """About `points` places, and weights with which a sum over them estimates the mean over all without bias.

    Likely places are all there, with their probability; of the others a systematic sample stands for the rest
    (inclusion with probability proportional to size, Horvitz & Thompson 1952).
    """
    sure = np.zeros(len(probability), dtype=bool)
    chance = probability * points
    while (chance[~sure] > 1).any():  # what is surely there leaves fewer points for the rest
        sure |= chance > 1
        rest = np.where(sure, 0, probability)
        chance = rest * max(0, points - sure.sum()) / max(rest.sum(), np.finfo(float).tiny)
    steps = np.floor(np.cumsum(np.where(sure, 0, chance)) + rng.random())
    places = np.flatnonzero(sure | (np.diff(steps, prepend=0) > 0))
    return places, probability[places] / np.where(sure, 1, chance)[places]


def two_sample(some: Sequence[Tokens], others: Sequence[Tokens], seed: int) -> float:
    """The p-value of a permutation test of whether two sets of inputs have one distribution.

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
