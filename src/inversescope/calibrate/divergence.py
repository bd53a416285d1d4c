"""Divergences between the generator and the posterior at stand-ins for targets, and signs of copied training inputs.

Three comparisons, each without the whole prior. KL(P ‖ q), with P estimated over the inputs that were read
(`strata`). A proper score: mean −ln q of a target's neighbours that training never saw, beside that of its training
neighbours. The share of training inputs among the draws, beside the share that the posterior gives them.

Dimensions: `targets` inputs of the pool in place of targets, `inputs` that were read, `points` of them at which two
probabilities are compared, `draws` of all targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from inversescope.calibrate.strata import SOURCE, TRAINED, UNSEEN, Posterior, Strata
from inversescope.collect.posterior import stand_ins
from inversescope.collect.store import Store
from inversescope.config import Query
from inversescope.generator import Generator
from inversescope.sample.sample import draw_from
from inversescope.sites import Site
from inversescope.stats import intervals
from inversescope.stats.weights import effective_sample_size
from inversescope.streams import Stream, TorchStream
from inversescope.tasks import Labels, Task, Tokens
from inversescope.verdicts import Measured

POINTS = 6  # inputs of each stratum at which the generator's probability is compared, for each target
PRIOR_POINTS = 2048  # the same for the prior
PERMUTATIONS = 999
ROWS = 2048  # inputs whose probability is computed at once
COMPARED = 400  # draws, and as many inputs, in the two-sample test
_WORDS = {"clean": "clean target", "noisy": "noisy channel"}
PerTarget = Float[ndarray, " targets"]


@dataclass(frozen=True)
class Divergences:
    """Divergences at one site, bandwidth and query: a number for each target; NaN where it is undefined.

    Attributes:
        repeats: 1 over the number of draws that the estimate of the posterior is worth; 0 where it is a sum.
        divergence: KL(P ‖ q), nats.
        variation: total variation, 0 to 1.
        gaps: by feature, consistency of the draws minus the true one.
        scores: nats; `unseen`, `trained`, `generalisation`, `prior` and `kernel`, as `Comparison` computes them.
        in_training: share of the draws that are training inputs.
        expected: the posterior's probability of the training inputs.
        in_prior: the prior's probability of them.
    """

    site: Site
    bandwidth: float
    query: Query
    exact: bool
    repeats: PerTarget
    divergence: PerTarget
    variation: PerTarget
    gaps: dict[str, PerTarget]
    scores: dict[str, PerTarget]
    in_training: PerTarget
    expected: PerTarget
    in_prior: float

    def measured(self, outside: bool) -> Measured:
        """Means over targets, with their intervals."""
        repeats = float(self.repeats.mean())
        return Measured(
            where=f"h = {self.bandwidth:.3g}, {_WORDS[self.query]}",
            size=1 / repeats if repeats > 0 else np.inf,
            divergence=intervals.mean(self.divergence),
            gaps={feature: intervals.mean(gap, -1, 1) for feature, gap in self.gaps.items()},
            exact=self.exact,
            outside=outside,
            copied=intervals.paired(self.in_training, np.maximum(self.expected, self.in_prior)),
            generalisation=intervals.mean(self.scores["generalisation"]),
            gain=intervals.mean(self.scores["prior"] - self.scores["unseen"]).value,
        )


class Comparison:
    """Comparison of generators with the exact posterior or its estimate, at the same stand-ins for targets."""

    def __init__(
        self,
        store: Store,
        task: Task,
        targets: int,
        draws: int,
        seed: int,
        points: int = POINTS,
    ):
        self.store = store
        self.task = task
        self.draws = draws
        self.seed = seed
        self.points = points
        self.targets = stand_ins(store, targets, seed)
        self.pool = store.inputs("pool")
        self.strata = Strata(store, task, self.targets)
        self._cache: dict[Tokens, Labels] = {}

    def compare(
        self, generator: Generator, site: Site, bandwidth: float, query: Query, *, draw: bool = True
    ) -> Divergences:
        """Divergences of one query at every stand-in; gaps of features and the share of copies only with `draw`."""
        device = next(generator.parameters()).device
        rng = torch.Generator().manual_seed(TorchStream.CALIBRATION.seed(self.seed))
        activations = self.store.activations("pool", site)[self.targets].to(device)
        bandwidths = torch.full((len(activations),), bandwidth, device=device)
        if query == "noisy":
            activations = generator.channel(site).noised(activations, bandwidths, rng)
        posterior = self.strata.posterior(site, bandwidth, activations.cpu() if query == "noisy" else None)
        with torch.inference_mode():
            condition = generator.condition(site, activations, bandwidths)
        rng = torch.Generator(device).manual_seed(TorchStream.CALIBRATION.seed(self.seed))
        drawn = draw_from(generator, condition, self.draws, rng)[0] if draw else []
        divergence, variation, scores = self._at_points(generator, condition, posterior)
        return Divergences(
            site, bandwidth, query, self.store.exact,
            repeats=self.strata.repeats(posterior.weights),
            divergence=divergence,
            variation=variation,
            gaps=self._gaps(posterior.weights, drawn) if draw else {},
            scores=scores,
            in_training=self._in_training(drawn) if draw else np.full(len(self.targets), np.nan),
            expected=posterior.weights[:, self.strata.trained].sum(1),
            in_prior=float(self.strata.mass[self.strata.trained].sum()),
        )  # fmt: skip

    def prior(self, generator: Generator) -> dict[str, float | None]:
        """Divergence (nats) and total variation of the null condition from the prior, where that is known; the p-value
        of a two-sample test of its draws against others of the prior, or inputs of the pool where P is not known.
        """
        with torch.inference_mode():
            condition = generator.no_condition(1)
        rng = torch.Generator(condition.device).manual_seed(TorchStream.CALIBRATION.seed(self.seed))
        drawn, _ = draw_from(generator, condition, COMPARED, rng)
        if self.strata.known and not self.store.exact:  # the pool lacks what is in other splits: often the likeliest
            inputs = list(self.task.draw(COMPARED, Stream.PRIOR_DRAWS.rng(self.seed)))
        else:
            inputs = [self.pool.tokens[i] for i in stand_ins(self.store, COMPARED, self.seed + 1)]
        p_value = two_sample([tokens or () for tokens in drawn], inputs, self.seed)
        if not self.store.exact:
            return {"kl": None, "tv": None, "p_value": p_value}
        mass = self.strata.mass
        index, share = sample_points(mass, PRIOR_POINTS, Stream.DIVERGENCE.rng(self.seed))
        log_ratio = np.log(mass[index]) + self._nats(generator, condition, np.zeros(len(index), dtype=int), index)
        return {"kl": float(share @ log_ratio), "tv": float(share @ _excess(log_ratio)), "p_value": p_value}

    def _at_points(
        self, generator: Generator, condition: Tensor, posterior: Posterior
    ) -> tuple[PerTarget, PerTarget, dict[str, PerTarget]]:
        """Unbiased estimates of KL(P ‖ q) = E_P[ln P − ln q] and of the total variation E_P[max(0, 1 − q/P)], and the
        scores: −ln q of the prior's and the kernel pool's too, at the neighbours that training never saw.

        For P(x; ẑ, s, h) itself ln q − ln P(x) − ln k is the same number for every input: `generalisation` is its
        difference between training neighbours and others.
        """
        points = self._points(posterior)
        at = points.target, points.index
        nats = self._nats(generator, condition, *at)
        log_ratio = posterior.log_probability[at] + nats
        known = self.strata.known
        excess = nats + posterior.log_kernel[at] + (self.strata.log_prior[points.index] if known else 0)
        of_prior = -self.strata.log_prior[points.index] if known else self._null_nats(generator, points.index)
        unseen, trained = (points.mean(nats, stratum) for stratum in (UNSEEN, TRAINED))
        prior = points.mean(of_prior, UNSEEN)
        scores = {
            "unseen": unseen,
            "trained": trained,
            "generalisation": points.mean(excess, UNSEEN) - points.mean(excess, TRAINED),
            "prior": prior,
            "kernel": prior + np.log1p(effective_sample_size(posterior.weights * self.strata.trained)),
        }
        return points.total(log_ratio), points.total(_excess(log_ratio)), scores

    def _points(self, posterior: Posterior) -> _Points:
        """Inputs of each stratum, by their weight in it."""
        rng, parts = Stream.DIVERGENCE.rng(self.seed), []
        for target, (row, strata) in enumerate(zip(posterior.weights, self.strata.strata(), strict=True)):
            for stratum in (SOURCE, TRAINED, UNSEEN):
                within = np.where(strata == stratum, row, 0)
                if (weight := within.sum()) > 0:
                    index, share = sample_points(within / weight, self.points, rng)
                    same = np.full(len(index), 1)
                    parts.append((target * same, stratum * same, index, share, share * weight))
        target, stratum, index, share, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
        return _Points(target, stratum, index, share, weight, len(self.targets))

    def _nats(
        self, generator: Generator, condition: Tensor, target: Int[ndarray, " points"], index: Int[ndarray, " points"]
    ) -> Float[ndarray, " points"]:
        """−ln q of inputs, each under the condition of its target."""
        rows = generator.vocabulary.encode([self.strata.tokens[i] for i in index]).to(condition.device)
        chosen = condition[torch.from_numpy(target)]
        with torch.inference_mode():
            parts = [generator.nats(*part) for part in zip(rows.split(ROWS), chosen.split(ROWS), strict=True)]
        return torch.cat(parts).double().cpu().numpy()

    def _null_nats(self, generator: Generator, index: Int[ndarray, " points"]) -> Float[ndarray, " points"]:
        """−ln q(x | ∅) of inputs, each computed once."""
        distinct, back = np.unique(index, return_inverse=True)
        with torch.inference_mode():
            condition = generator.no_condition(1)
        return self._nats(generator, condition, np.zeros(len(distinct), dtype=int), distinct)[back]

    def _in_training(self, drawn: Sequence[Tokens | None]) -> PerTarget:
        """Share of each target's draws that are training inputs."""
        places = [None if tokens is None else self.strata.number.get(tokens) for tokens in drawn]
        copied = [place is not None and bool(self.strata.trained[place]) for place in places]
        return np.array(copied, dtype=float).reshape(len(self.targets), -1).mean(1)

    def _gaps(self, weights: Float[ndarray, "targets inputs"], drawn: Sequence[Tokens | None]) -> dict[str, PerTarget]:
        """Share of draws with the target's label, minus its probability under P, by feature; NaN: undecided target.

        Undecided inputs and draws that never ended stay in the denominator, on both sides alike: unlike scores, which
        leave them out, this compares the probability of one event, and a generator that draws too many of them differs.
        """
        labels_of_draws = [{} if tokens is None else self._labels(tokens) for tokens in drawn]
        gaps = {}
        for feature, labels in self.strata.labels.items():
            own = labels[self.strata.targets][:, None]
            draws = np.array([label.get(feature) for label in labels_of_draws], dtype=object).reshape(len(own), -1)
            share, exact = (draws == own).mean(1), (weights * (labels[None] == own)).sum(1)
            gaps[feature] = np.where(own[:, 0] == None, np.nan, share - exact)  # noqa: E711 - of each element
        return gaps

    def _labels(self, tokens: Tokens) -> Labels:
        if tokens not in self._cache:
            self._cache[tokens] = self.task.labels(tokens)
        return self._cache[tokens]


@dataclass(frozen=True)
class _Points:
    """Points of all targets and strata. `share` weighs them within a stratum, `weight` within a target."""

    target: Int[ndarray, " points"]
    stratum: Int[ndarray, " points"]
    index: Int[ndarray, " points"]
    share: Float[ndarray, " points"]
    weight: Float[ndarray, " points"]
    targets: int

    def total(self, values: Float[ndarray, " points"]) -> PerTarget:
        """Mean over P of each target."""
        return np.bincount(self.target, self.weight * values, self.targets)

    def mean(self, values: Float[ndarray, " points"], stratum: int) -> PerTarget:
        """Mean over a stratum of each target; NaN where it has no weight."""
        share = np.where(self.stratum == stratum, self.share, 0)
        sums, weights = (np.bincount(self.target, share * of, self.targets) for of in (values, np.ones(len(share))))
        return np.divide(sums, weights, out=np.full(self.targets, np.nan), where=weights > 0)


def _excess(log_ratio: Float[ndarray, " points"]) -> Float[ndarray, " points"]:
    """max(0, 1 − q/P) from ln P − ln q."""
    return -np.expm1(np.minimum(0, -log_ratio))


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
